"""Writers of traces for other tools: Perfetto, Nsight Systems."""
