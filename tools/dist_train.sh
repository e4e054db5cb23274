#!/usr/bin/env bash
# Train with several processes on one or more machines: one per GPU (NCCL), or on the CPU (gloo) where there is no GPU.
#
#   bash tools/dist_train.sh CONFIG PROCESSES_PER_MACHINE [arguments of tools/train.py]
#
# Several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT, the same command on each. One machine needs none of them:
# the processes meet at a free port.
# MAX_RESTARTS=3 with --resume: when a process is lost, all start again from the last checkpoint, so many times.
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '4,8p' "$0" | cut -c3- >&2
    exit 2
fi
CONFIG=$1
GPUS=$2
shift 2
NNODES=${NNODES:-1}
MASTER_ADDR=${MASTER_ADDR:-127.0.0.1}
MAX_RESTARTS=${MAX_RESTARTS:-0}

# The static rendezvous keeps its store over restarts, in which processes find addresses of those that are gone and wait
# for them; c10d's has a store for every start. It gives out the ranks of machines itself.
if [ "$NNODES" = 1 ] && [ -z "${PORT:-}" ]; then
    MEETING=(--standalone --local-addr="$MASTER_ADDR")  # c10d at a free port
elif [ "$MAX_RESTARTS" -gt 0 ]; then
    MEETING=(--rdzv-backend=c10d --rdzv-endpoint="$MASTER_ADDR:${PORT:-29500}" --rdzv-id="${RUN_ID:-xdet}")
    if [ "$NNODES" = 1 ]; then MEETING+=(--local-addr="$MASTER_ADDR"); fi
else
    MEETING=(--node-rank="${NODE_RANK:-0}" --master-addr="$MASTER_ADDR" --master-port="${PORT:-29500}")
fi

exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="$NNODES" \
    "${MEETING[@]}" \
    --nproc-per-node="$GPUS" \
    --max-restarts="$MAX_RESTARTS" \
    "$(dirname "$0")/train.py" "$CONFIG" --launcher pytorch "$@"
