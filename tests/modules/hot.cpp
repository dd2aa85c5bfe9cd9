// What an importer compiles the hot functions to: inlined.sh looks at the result.
#include <cstddef>
#include <memory_resource>
import buffers;

extern "C" {
void* hot_bump_allocate(buffers::bump_resource& buffer, std::size_t bytes) { return buffer.allocate(bytes, 8); }
void* hot_slab_allocate(buffers::slab_resource& buffer, std::size_t bytes) { return buffer.allocate(bytes, 8); }
void hot_bump_deallocate(buffers::bump_resource& buffer, void* block) { buffer.deallocate(block, 64); }
void hot_slab_deallocate(buffers::slab_resource& buffer, void* block) { buffer.deallocate(block, 64); }
void* hot_allocator(buffers::allocator<int, buffers::slab_resource> memory) { return memory.allocate(100); }
double* hot_alloc(buffers::slab_resource& buffer) { return buffers::alloc<double>(buffer, 10, 20).data_handle(); }
std::size_t hot_scope(buffers::slab_resource& buffer) {
  buffers::scope inner{buffer};
  return buffer.used();
}
std::size_t hot_default_buffer() { return buffers::default_buffer().capacity(); }
int* hot_per_thread(buffers::detail::per_thread<int>& slots) { return &slots.local(); }
buffers::slab_resource* hot_thread_local(buffers::thread_resource<>& all) { return &all.local(); }
void* hot_thread_allocate(buffers::thread_resource<>& all, std::size_t bytes) { return all.allocate(bytes, 8); }
std::size_t hot_lease(buffers::thread_resource<>& all) { return all.lease()->used(); }
}
