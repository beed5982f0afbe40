"""RPD traces of rocmProfileData."""
