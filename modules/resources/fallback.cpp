module;
#include <cstddef>
#include <memory_resource>
module buffers.resources;

namespace buffers {

void* fallback_resource::allocate_from_second(std::size_t bytes, std::size_t alignment) {
  void* const block = second_->allocate(bytes, alignment);
  try {
    from_second_.insert(block);
  } catch (...) {
    second_->deallocate(block, bytes, alignment);
    throw;
  }
  return block;
}

}  // namespace buffers
