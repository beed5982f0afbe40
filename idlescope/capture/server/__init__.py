"""Have a running vLLM or SGLang server record itself, and read its counters around it."""
