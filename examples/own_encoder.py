"""An image encoder of your own as a model set: python examples/own_encoder.py models/colours

Any ONNX graph from RGB images to features will do; this one averages colours over a grid of 4 x 4 cells. `OnnxEncoder`
adds what a graph lacks (here the L2 norm of 1), checks it on test images, and writes graph and manifest. A graph in a
file needs no code: `semlink train encoder import`. The folder is then a value of every --model-set:

    semlink kb build my-photos/ --out my-kb --model-set models/colours
    semlink train codec --data my-photos/ --codec nested --model-set models/colours --out models/colours
"""

import sys
import tempfile
from pathlib import Path

import onnx.parser

from trainer.encoders.onnx_encoder import OnnxEncoder

GRAPH = """
<ir_version: 10, opset_import: ["" : 18]>
colours (uint8[batch, 32, 32, 3] image) => (float[batch, 48] features)
<int64[2] flat = {-1, 48}, float middle = {127.5}>
{
    pixels = Cast <to = 1> (image)
    centred = Sub (pixels, middle)
    planes = Transpose <perm = [0, 3, 1, 2]> (centred)
    cells = AveragePool <kernel_shape = [8, 8], strides = [8, 8]> (planes)
    features = Reshape (cells, flat)
}
"""

with tempfile.TemporaryDirectory() as folder:
    graph = Path(folder) / "colours.onnx"
    onnx.save(onnx.parser.parse_model(GRAPH), graph)
    encoder = OnnxEncoder(name="colours", graph=graph, licence="Apache-2.0", training_data="none")
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    models = encoder.write(Path(sys.argv[1]))
print(f"model set written to {models.folder}")
