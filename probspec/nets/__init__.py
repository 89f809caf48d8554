"""Parts of models: views and layers, encoders with their evidence, decoders."""
