"""Models: the files of a model set, the graphs composed of them, and the backends that run graphs.

- models: a model set's manifest, codecs, codebooks, projection heads and image encoder
- graphs: composition of encoder, codec and quantization into one ONNX graph; its arithmetic (fp32, fp16, int8)
- backends: ONNX Runtime and TensorRT, on CPUs and GPUs, and the choice between them
- store, factory, options: built engines on disk; from a model set and options to a loaded runner
- bench, command: latency and agreement of an engine; `semlink engine`
"""
