#!/usr/bin/env bash
# Everything that wants a GPU, in one command:
#
#     bench/gpu/run.sh [PART...]        parts: tests kernels parity engines sweep ort dali tensorrt
#
# A bare machine will do: CUDA with nvcc, torch, Python, no network. Each part ends within four
# minutes and writes bench/results/gpu-PART.json as it goes, so a part that is cut short leaves
# what it had. Without a PART, all run for which the packages are there.
#
# Settings, as environment variables:
#   PYTHON   the interpreter that has torch, and what fastclip is built and tested with (python3)
#   WHEELS   a folder of wheels it lacks: open_clip_torch, ftfy, wcwidth; for ort, dali and
#            tensorrt onnxruntime-gpu, nvidia-dali-cuda130, tensorrt-cu13 with what they need
#   RESULTS  where the JSON goes (bench/results)
#   WORK     scratch space, 15 GB: checkpoints, pictures, exported graphs, which later calls
#            with the same folder find again (a temporary folder)
#   DEVICE   cuda, or cpu to try the script itself (cuda)
#   SMALL    1 for tiny towers and sets, to try the script itself
set -uo pipefail
cd "$(dirname "$0")/../.."

PYTHON=${PYTHON:-python3}
WHEELS=${WHEELS:-}
DEVICE=${DEVICE:-cuda}
SMALL=${SMALL:-}
LIMIT=${LIMIT:-240}
mkdir -p "${RESULTS:-bench/results}"
RESULTS=$(cd "${RESULTS:-bench/results}" && pwd)
WORK=${WORK:-$(mktemp -d)}
export PYTHONUNBUFFERED=1 FASTCLIP_CACHE="$WORK/cache"

if [ -n "$WHEELS" ] && compgen -G "$WHEELS/*.whl" >/dev/null; then
    "$PYTHON" -m pip install -q --no-index --no-deps --upgrade --target "$WORK/site" "$WHEELS"/*.whl
fi
export PYTHONPATH="$WORK/site${PYTHONPATH:+:$PYTHONPATH}"

missing=()
needed="torch torchvision open_clip ftfy onnx onnxscript onnx_ir numba scipy pandas pyarrow click rich"
needed+=" PIL safetensors pytest"
if [ "$DEVICE" = cuda ]; then needed+=" scikit_build_core nanobind"; fi
for module in $needed; do
    "$PYTHON" -c "import importlib.util as u, sys; sys.exit(u.find_spec('$module') is None)" ||
        missing+=("$module")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "missing modules: ${missing[*]}; put their wheels into a folder and name it in WHEELS"
    exit 3
fi

if [ "$DEVICE" = cuda ]; then
    FASTCLIP_CUDA=ON CMAKE_ARGS="-DCMAKE_CUDA_ARCHITECTURES=90-real" "$PYTHON" -m pip install -q \
        --no-index --no-deps --no-build-isolation --editable . || exit 3
fi

has() { "$PYTHON" -c "import $1" 2>/dev/null; }
PARTS=("$@")
if [ ${#PARTS[@]} -eq 0 ]; then
    PARTS=(tests kernels parity engines sweep)
    if "$PYTHON" -c 'import onnxruntime as o; o.get_available_providers().index("CUDAExecutionProvider")' 2>/dev/null; then
        PARTS+=(ort)
    fi
    if has nvidia.dali; then PARTS+=(dali); fi
    if has tensorrt; then PARTS+=(tensorrt); fi
fi

for name in "${PARTS[@]}"; do
    case $name in
    tests | kernels | parity | engines | sweep | ort | dali | tensorrt) ;;
    *)
        echo "unknown part '$name': choose of tests kernels parity engines sweep ort dali tensorrt"
        exit 2
        ;;
    esac
done

failed=()
part() { # part NAME SCRIPT ARGS...
    local name=$1 script=$2
    shift 2
    echo "== $name"
    timeout --kill-after=10 "$LIMIT" "$PYTHON" "bench/gpu/$script.py" \
        --device "$DEVICE" ${SMALL:+--small} --output "$RESULTS/gpu-$name.json" "$@"
    local code=$?
    if [ $code -ne 0 ]; then
        echo "$name: exit $code"
        failed+=("$name")
    fi
}

for name in "${PARTS[@]}"; do
    case $name in
    tests) part tests tests ;;
    kernels) part kernels kernels ;;
    parity) part parity parity ;;
    engines) part engines engines ;;
    sweep)
        [ -f "$WORK/sweep/done" ] || { rm -rf "$WORK/sweep"; part data data --work "$WORK/sweep"; }
        part sweep sweep --work "$WORK/sweep"
        ;;
    ort) part ort parity --engine onnxruntime-cuda ;;
    dali) part dali dali ;;
    tensorrt) part tensorrt parity --engine tensorrt ;;
    esac
done

if [ ${#failed[@]} -gt 0 ]; then
    echo "failed: ${failed[*]}"
    exit 1
fi
