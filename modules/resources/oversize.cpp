module;
#include <algorithm>
#include <cstddef>
#include <memory_resource>
#include <new>
module buffers.resources;

namespace buffers::detail {

// At least a byte behind the block, which AddressSanitizer watches.
std::size_t oversize_list::node_offset(std::size_t bytes) { return round_up(add_bytes(bytes, 1), alignof(node)); }

void* oversize_list::allocate(std::size_t bytes, std::size_t alignment, std::pmr::memory_resource& upstream) {
  const std::size_t size = node_offset(bytes);
  const std::size_t strictest = std::max(alignment, alignof(node));
  auto* const block = static_cast<std::byte*>(upstream.allocate(add_bytes(size, sizeof(node)), strictest));
  auto* const made = ::new (block + size) node{first_, nullptr, block, bytes, strictest};
  if (first_ != nullptr) first_->previous = made;
  first_ = made;
  ++count_;
  bytes_ += size + sizeof(node);
  poison_in_program(block + bytes, size - bytes);
  return block;
}

void oversize_list::deallocate(void* block, std::size_t bytes, std::pmr::memory_resource& upstream) noexcept {
  give_upstream(reinterpret_cast<node*>(static_cast<std::byte*>(block) + node_offset(bytes)), upstream);
}

void oversize_list::deallocate_all(std::pmr::memory_resource& upstream) noexcept {
  while (first_ != nullptr) give_upstream(first_, upstream);
}

void oversize_list::give_upstream(node* last, std::pmr::memory_resource& upstream) noexcept {
  (last->previous != nullptr ? last->previous->next : first_) = last->next;
  if (last->next != nullptr) last->next->previous = last->previous;
  --count_;
  void* const block = last->block;
  const std::size_t upstream_bytes = node_offset(last->bytes) + sizeof(node), alignment = last->alignment;
  bytes_ -= upstream_bytes;
  unpoison_in_program(block, upstream_bytes);
  upstream.deallocate(block, upstream_bytes, alignment);
}

std::size_t oversize_list::block_bytes(const void* block) const noexcept {
  for (const node* at = first_; at != nullptr; at = at->next)
    if (at->block == block) return at->bytes;
  return 0;
}

bool oversize_list::owns(const void* byte) const noexcept {
  for (const node* at = first_; at != nullptr; at = at->next)
    if (address(byte) - address(at->block) < at->bytes) return true;
  return false;
}

}  // namespace buffers::detail
