"""An image encoder of your own as a model set: python examples/own_encoder.py models/colours

Any ONNX graph from `image` (batch, size, size, 3) uint8 to L2-normalised `features` (batch, dim) float32 will do; this
one averages colours over a grid of 4 x 4 cells. The folder is then a value of every --model-set:

    semlink kb build my-photos/ --out my-kb --model-set models/colours
    semlink train codec --data my-photos/ --codec nested --model-set models/colours --out models/colours
"""

import sys
from pathlib import Path

import onnx.parser

from engines.models.manifest import EncoderEntry
from semlink.image import Preprocessing
from trainer.model_set_writer import model_file, set_encoder

GRAPH = """
<ir_version: 10, opset_import: ["" : 18]>
colours (uint8[batch, 32, 32, 3] image) => (float[batch, 48] features)
<int64[2] flat = {-1, 48}, int64[1] axis = {1}, float floor = {0.000001}, float middle = {127.5}>
{
    pixels = Cast <to = 1> (image)
    centred = Sub (pixels, middle)
    planes = Transpose <perm = [0, 3, 1, 2]> (centred)
    cells = AveragePool <kernel_shape = [8, 8], strides = [8, 8]> (planes)
    vector = Reshape (cells, flat)
    length = ReduceL2 <keepdims = 1> (vector, axis)
    safe = Max (length, floor)
    features = Div (vector, safe)
}
"""

folder = Path(sys.argv[1])
folder.mkdir(parents=True, exist_ok=True)
onnx.save(onnx.parser.parse_model(GRAPH), folder / "encoder.onnx")
encoder = EncoderEntry(
    name="colours",
    graph=model_file(folder / "encoder.onnx"),
    feature_dim=48,
    preprocessing=Preprocessing(size_px=32),
    licence="Apache-2.0",
    training_data="none",
)
set_encoder(folder, encoder)
print(f"model set written to {folder}")
