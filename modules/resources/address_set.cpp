module;
#include <algorithm>
#include <bit>
#include <cstddef>
#include <memory_resource>
module buffers.resources;

namespace buffers::detail {

void address_set::use(void** table, std::size_t slots) noexcept {
  table_ = table;
  mask_ = slots - 1;
  shift_ = address_bits - static_cast<unsigned>(std::countr_zero(slots));
  std::fill_n(table_, slots, nullptr);
}

void address_set::put(void* block) noexcept {
  std::size_t at = home(block);
  while (table_[at] != nullptr) at = (at + 1) & mask_;
  table_[at] = block;
}

void address_set::insert(void* block) {
  while (size_ >= slots() / 4 * 3) grow();
  put(block);
  ++size_;
}

bool address_set::erase(const void* block) noexcept {
  std::size_t gap = home(block);
  for (; table_[gap] != block; gap = (gap + 1) & mask_)
    if (table_[gap] == nullptr) return false;
  // What lies after it moves up, unless that would bring it before its home.
  for (std::size_t at = (gap + 1) & mask_; table_[at] != nullptr; at = (at + 1) & mask_)
    if (((at - home(table_[at])) & mask_) >= ((at - gap) & mask_)) {
      table_[gap] = table_[at];
      gap = at;
    }
  table_[gap] = nullptr;
  if (--size_ == 0) give_table_back();
  return true;
}

void address_set::grow() {
  const std::size_t room = 2 * slots();
  // Where memory is short that may give back blocks which are in here, or add some: so the table is looked at
  // afterwards.
  void* const memory = memory_->allocate(multiply(room, sizeof(void*)), alignof(void*));
  if (room <= slots()) return memory_->deallocate(memory, room * sizeof(void*), alignof(void*));
  void** const before = table_;
  const std::size_t slots_before = slots();
  use(static_cast<void**>(memory), room);
  for (std::size_t i = 0; i < slots_before; ++i)
    if (before[i] != nullptr) put(before[i]);
  if (before != own_) memory_->deallocate(before, slots_before * sizeof(void*), alignof(void*));
}

void address_set::give_table_back() noexcept {
  if (table_ == own_) return;
  memory_->deallocate(table_, slots() * sizeof(void*), alignof(void*));
  use(own_, own_slots);
}

}  // namespace buffers::detail
