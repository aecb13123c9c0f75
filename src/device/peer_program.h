/* A peer that is a program and stays: it is asked by a line of JSON on its standard input and answers by one on its
 * standard output. So that its samples can be taken in turns with ours, in one run, without its start in between.
 *
 * An answer that holds "error" (a text) is a refusal: the peer lives on. A peer that ends, says what is no JSON, or
 * does not answer in time is gone: it is killed, and each later question fails with the same reason. Its standard error
 * is read all the while, and the last line of it stands in the reason. It ends when its input does, that is, at the
 * latest with this process. */
#ifndef SPAK_DEVICE_PEER_PROGRAM_H
#define SPAK_DEVICE_PEER_PROGRAM_H

#include "base/err.h"
#include "base/json.h"

typedef struct dev_peer dev_peer;

/* Runs argv (found through PATH). Fails when there is no such program, or it cannot be started. */
bool dev_peer_start(char *const argv[], dev_peer **peer, spak_error *err);

/* *answer is an object without "error", a new reference. Fails with what the peer said, or with why it is gone. */
bool dev_peer_ask(dev_peer *peer, const json_t *question, double timeout_s, json_t **answer, spak_error *err);

/* Closes its input, gives it a moment to end, and kills it; NULL is fine. */
void dev_peer_stop(dev_peer *peer);

#endif
