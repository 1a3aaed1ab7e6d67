#!/usr/bin/env bash
# The checks on real data need a data set that is not part of the project; says in one line when they were not run.
data="${WEIR_TEST_DATA:-../shared/data}"
[ -d "$data/trainticket" ] || echo "note: the Train Ticket checks were not run: $data/trainticket is not there (set WEIR_TEST_DATA)"
