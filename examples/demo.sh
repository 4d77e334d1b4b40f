#!/bin/sh
# From a YAML spec to results, step by step. BIN is the folder of the vspec command (default: the one on the PATH).
set -eu
vspec="${BIN:+$BIN/}vspec"
spec=specs/problems/logistic.yaml
program=build/demo/logistic
results=results/demo/logistic

step() {
    printf '\n=== %s\n\n' "$*"
}

step "1. The spec says the mathematics: $spec"
cat "$spec"

step "2. vspec check: names, indices, types"
"$vspec" check "$spec"

step "3. vspec build: derivatives, optimisation, emission"
"$vspec" build "$spec" --out "$program" --force

step "4. The head of the emitted $program/program.py"
head -n 60 "$program/program.py"

step "5. vspec run: data, Newton's method, claims"
"$vspec" run "$program" --out "$results"

step "6. What was written"
ls "$program" "$results"
printf '\nThe program is in %s, the results are in %s.\n' "$program" "$results"
