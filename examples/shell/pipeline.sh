#!/bin/sh
# A spec in a shell pipeline: every command answers in JSON, jq picks what the next step needs.
#
#     sh pipeline.sh [FOLDER]
#
# Exit codes are those of vspec: with 'set -e' a wrong spec, data that does not fit or a failed claim ends the script.
set -eu
spec=$(cd "$(dirname "$0")" && pwd)/../specs/decay.yaml
folder=${1:-results/shell}

# Is the spec right? Warnings and errors are objects with a code, a file and a line.
vspec check "$spec" --format json | jq -r '.diagnostics[] | "\(.severity) \(.code) line \(.line): \(.message)"'

# Which penalty fits best? One row per point; a point that failed would have a code under 'failure'.
best=$(vspec sweep "$spec" --grid 'lam=log(1e-3,10,5)' --out "$folder/sweep" --format json |
    jq -r '[.rows[] | select(.failure == null and .holds)] | min_by(.value) | .lam')
echo "lam: $best"

# Run it there, and keep what the run says.
vspec run "$spec" --set "lam=$best" --out "$folder/run" --format json > "$folder/run.json"
jq -r '"half-life: \(.outputs.half_life * 100 | round / 100) hours, after \(.stages[0].steps) steps"' "$folder/run.json"
jq -r '.claims[] | "\(if .holds then "holds" else "fails" end): \(.name), \(.measured) \(.bound)"' "$folder/run.json" |
    sed 's/stationary, [^ ]*/stationary, .../'
