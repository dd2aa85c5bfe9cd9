import buffers.core;

bool core_alone() { return buffers::exhausted(3, 2, 1).requested() == 3 && buffers::version.minor >= 0; }
