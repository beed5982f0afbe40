"""Forward-pass metrics of NVIDIA Dynamo."""
