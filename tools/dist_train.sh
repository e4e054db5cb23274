#!/usr/bin/env bash
# Train with several processes on one or more machines: one per GPU (NCCL), or on the CPU (gloo) where there is no GPU.
#
#   bash tools/dist_train.sh CONFIG PROCESSES_PER_MACHINE [arguments of tools/train.py]
#
# Several machines: NNODES, NODE_RANK, MASTER_ADDR and PORT, the same command on each.
set -euo pipefail
if [ $# -lt 2 ]; then
    sed -n '4,6p' "$0" | cut -c3- >&2
    exit 2
fi
CONFIG=$1
GPUS=$2
shift 2

exec "${PYTHON:-python}" -m torch.distributed.run \
    --nnodes="${NNODES:-1}" \
    --node_rank="${NODE_RANK:-0}" \
    --master_addr="${MASTER_ADDR:-127.0.0.1}" \
    --master_port="${PORT:-29500}" \
    --nproc_per_node="$GPUS" \
    "$(dirname "$0")/train.py" "$CONFIG" --launcher pytorch "$@"
