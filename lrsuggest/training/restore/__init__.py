"""What training changes, found, noted and put back in place."""
