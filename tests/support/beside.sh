#!/usr/bin/env bash
# Run one command in front and another behind it, whose output comes in one piece at its end. At niceness 19 it takes only
# the moments in which what is in front waits: a cluster leaves the processors idle for a good part of its time. The first
# that fails ends both. What runs behind something else stays behind it, with both of its own.
# usage: beside.sh NAME NICENESS "COMMAND BEHIND" COMMAND IN FRONT ...
set -euo pipefail
name=$1 niceness=$2 behind=$3
shift 3
log=build/${name}.log
patience=60
mkdir -p build

# Each in a session of its own, so that it can be ended whole. Where the kernel shares the processors out by session
# first, nice counts inside of one only, and the session has its own, which begins at 0. A shell lets what it starts
# behind ignore SIGINT.
apart() { exec setsid env --default-signal=INT,QUIT "$@"; }
share() { [ ! -e /proc/self/autogroup ] || echo "$1" >/proc/self/autogroup || true; }
above=$(sed 's/.* nice //' /proc/self/autogroup 2>/dev/null || echo 0)
export -f share
apart bash -c 'share "$1"; exec nice -n "$2" bash -c "$0"' "$behind" $((above > niceness ? above : niceness)) "$niceness" \
  >"$log" 2>&1 &
back=$!
apart bash -c 'share "$0"; exec "$@"' "$above" "$@" &
front=$!

alive() { kill -0 -- "-$1" 2>/dev/null; }

# As a person's Ctrl-C does it, so that pytest takes down what its tests have made; what does not listen is killed.
stop() {
  local signal until
  for signal in INT KILL; do
    kill "-$signal" -- "-$front" 2>/dev/null || true
    kill "-$signal" -- "-$back" 2>/dev/null || true
    until=$((SECONDS + patience))
    while { alive "$front" || alive "$back"; } && [ "$SECONDS" -lt "$until" ]; do
      sleep 0.2
    done
  done
} 2>/dev/null
trap stop EXIT
trap 'exit 130' INT TERM

code=0
wait -n -p first "$front" "$back" || code=$?
if [ "$first" = "$front" ] && [ "$code" -ne 0 ]; then
  echo "── ${name} is stopped, since what ran in front of it failed; ${log} has what it said until then"
  exit "$code"
fi
if [ "$first" = "$front" ]; then
  while alive "$back"; do
    echo "── waiting for ${name}: $(tail -n 1 "$log" | cut -c1-100)"
    timeout 20 tail --pid="$back" -f /dev/null || true
  done
  wait "$back" || code=$?
elif [ "$code" -eq 0 ]; then
  echo "── ${name} is done and well"
  wait "$front" || code=$?
fi
echo "── what ran behind, ${name}:"
cat "$log"
exit "$code"
