/* The step in doubles for any processor: vectors of 4, as lanes.h writes them.
 */
#include "microgpt/microgpt.h"

#define REAL      double
#define LANES     4
#define REG_BYTES 16 /* SSE2, NEON */
#define EXACT
#define MICROGPT_TABLE microgpt_exact_portable
#include "microgpt/step.h"
