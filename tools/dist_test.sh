#!/usr/bin/env bash
# Test with several processes on one or more machines: one per GPU (NCCL), or on the CPU (gloo) where there is no GPU.
#
#   bash tools/dist_test.sh CONFIG CHECKPOINT PROCESSES_PER_MACHINE [arguments of tools/test.py]
#
# The suite of benchmarks instead of tools/test.py: SCRIPT=zeroshot_suite.
#
# Several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT, the same command on each. One machine needs none of them:
# the processes meet at a free port.
set -euo pipefail
if [ $# -lt 3 ]; then
    sed -n '4,9p' "$0" | cut -c3- >&2
    exit 2
fi
CONFIG=$1
CHECKPOINT=$2
GPUS=$3
shift 3

NNODES=${NNODES:-1}
MASTER_ADDR=${MASTER_ADDR:-127.0.0.1}
if [ "$NNODES" = 1 ] && [ -z "${PORT:-}" ]; then
    MEETING=(--standalone --local-addr="$MASTER_ADDR")
else
    MEETING=(--node-rank="${NODE_RANK:-0}" --master-addr="$MASTER_ADDR" --master-port="${PORT:-29500}")
fi

exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="$NNODES" \
    "${MEETING[@]}" \
    --nproc-per-node="$GPUS" \
    "$(dirname "$0")/${SCRIPT:-test}.py" "$CONFIG" "$CHECKPOINT" --launcher pytorch "$@"
