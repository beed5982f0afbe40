"""Results of rocprofv3: rocpd databases and JSON."""
