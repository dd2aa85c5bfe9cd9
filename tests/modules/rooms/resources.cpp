import buffers.resources;

bool resources_alone() {
  buffers::slab_resource buffer;
  buffers::limit_resource limit{64, &buffer};
  try {
    (void)limit.allocate(65);
  } catch (const buffers::exhausted&) {  // buffers.core comes along
    return buffer.used() == 0;
  }
  return false;
}
