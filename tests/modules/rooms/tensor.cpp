import buffers.resources;
import buffers.tensor;

bool tensor_alone() {
  buffers::slab_resource buffer;
  auto a = buffers::alloc<int>(buffer, 2, 3);
  buffers::drop(buffer, a);
  return buffer.used() == 0;
}
