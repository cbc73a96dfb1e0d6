"""Model graphs: which files belong together, how they compose, and what runs them.

- modelset: a folder of graphs and the manifest that vouches for it
- compose: encoder + codec + unit power + quantization as one ONNX graph
- runner, target: what every backend looks like; the choice between them, and of a device
- onnxruntime_session, onnxruntime_runner: the one module that imports onnxruntime to run graphs; the CPU backend
- onnxruntime_gpu, onnxruntime_providers: the backends on a GPU; whether a provider can run, and really does
- tensorrt_runner, tensorrt_session: the backend, and an engine made ready to run
- tensorrt_builder, tensorrt_graph: an engine built, the one module that imports tensorrt; the graph as it takes it
- cuda, cuda_driver: the device as they need it; the former is the one module that imports pycuda
- engine_options, workshop: what the commands are told, and the engines made by it
- engine_store: engines on disk
"""
