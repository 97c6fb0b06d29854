#!/usr/bin/env bash
# Run one stage, say how long it took against its budget, and remember it for the table at the end.
# usage: stage.sh NAME BUDGET_SECONDS COMMAND [ARGUMENT ...]
set -euo pipefail
name=$1 budget=$2
shift 2
table=${SWITCHYARD_STAGES:-build/stages.tsv}
mkdir -p "$(dirname "$table")"
echo "── ${name}: started, budget ${budget} s"
began=$(date +%s)
code=0
"$@" || code=$?
took=$(($(date +%s) - began))
verdict=within
[ "$took" -le "$budget" ] || verdict=OVER
[ "$code" -eq 0 ] || verdict="failed ($code)"
printf '%s\t%s\t%s\t%s\n' "$name" "$took" "$budget" "$verdict" >>"$table"
echo "── ${name}: ${took} s of ${budget} s, ${verdict}"
exit "$code"
