// The blocks of a pool that are upstream's own, in a list.
module;
#include <cstddef>
export module buffers.resources:oversize;
import buffers.core;
import buffers.std;

export namespace buffers::detail {

/// Blocks that are upstream's own: too large for a run, or aligned to more than a page.
class oversize_list {
 public:
  /// Throws what upstream throws.
  [[nodiscard]] void* allocate(std::size_t bytes, std::size_t alignment, std::pmr::memory_resource& upstream);
  /// Of the size that it was allocated with.
  void deallocate(void* block, std::size_t bytes, std::pmr::memory_resource& upstream) noexcept;
  void deallocate_all(std::pmr::memory_resource& upstream) noexcept;
  /// The bytes of the block that begins there; 0 when none does. O(count), as the next.
  [[nodiscard]] std::size_t block_bytes(const void* block) const noexcept;
  [[nodiscard]] bool owns(const void* byte) const noexcept;
  [[nodiscard]] std::size_t count() const noexcept { return count_; }
  /// From upstream.
  [[nodiscard]] std::size_t bytes() const noexcept { return bytes_; }

 private:
  // Behind its block.
  struct node {
    node* next;
    node* previous;
    void* block;
    std::size_t bytes;
    std::size_t alignment;
  };
  static std::size_t node_offset(std::size_t bytes);
  void give_upstream(node* last, std::pmr::memory_resource& upstream) noexcept;

  node* first_ = nullptr;
  std::size_t count_ = 0, bytes_ = 0;
};

}  // namespace buffers::detail
