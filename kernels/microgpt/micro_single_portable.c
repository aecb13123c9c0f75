/* The step in floats for any processor: vectors of 4, as lanes.h writes them.
 */
#include "microgpt/microgpt.h"

#define REAL           float
#define LANES          4
#define REG_BYTES      16 /* SSE2, NEON */
#define MICROGPT_TABLE microgpt_single_portable
#include "microgpt/step.h"
