"""Makes ONNX files with a sidecar out of models of other frameworks: Keras, MemBrain-seg, nnU-Net."""
