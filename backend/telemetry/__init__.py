"""NVML, DCGM and model-server metrics, joined into what every GPU does."""
