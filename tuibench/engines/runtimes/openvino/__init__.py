"""OpenVINO, on a graph laid out as its own exporter does, with weights as NNCF compresses them."""
