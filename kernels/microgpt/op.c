#include "microgpt/microgpt.h"
