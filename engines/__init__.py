"""Model graphs: which files belong together, how they compose, and what runs them.

- modelset: a folder of graphs and the manifest that vouches for it
- compose: encoder + codec + unit power + quantization as one ONNX graph
- runner: what every backend looks like, and the choice between them
- onnxruntime_runner: the one module that imports onnxruntime

A TensorRT backend is one more module beside `onnxruntime_runner` and one more row in
`runner.BACKENDS`.
"""
