/* Time: a monotonic clock for measurements, the calendar for records. */
#ifndef SPAK_BASE_CLOCK_H
#define SPAK_BASE_CLOCK_H

#include <stdint.h>

uint64_t spak_now_ns(void);       /* monotonic, nanoseconds */
void spak_utc_now(char text[32]); /* "2026-01-31T12:34:56Z" */

#endif
