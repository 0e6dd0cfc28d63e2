"""The tests, laid out as the packages of src/vswitch are."""
