import buffers.testing;

bool testing_alone() { return buffers::test_resource{}.is_clean(); }
