module;
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <gsl/pointers>
#include <memory_resource>
#include <span>
module buffers.resources;

namespace buffers {

namespace {

// Owned memory is asked for in whole granules, so that every block has room for a `hole`.
std::size_t owned_bytes(std::size_t capacity) { return detail::round_up(capacity, detail::granule); }

}  // namespace

bump_resource::bump_resource(std::size_t bytes, gsl::not_null<std::pmr::memory_resource*> upstream)
    : capacity_(bytes), upstream_(upstream) {
  acquire();
}

bump_resource::bump_resource(std::span<std::byte> storage) noexcept
    : memory_(storage.data()), capacity_(storage.size()), upstream_(nullptr) {
  const std::uintptr_t first = detail::granule_end(detail::address(memory_) - 1) + 1;
  const std::size_t lost = first - detail::address(memory_);
  if (lost < capacity_) now_ = detail::region(first, capacity_ - lost, 0);
  detail::poison_in_program(memory_, capacity_);
}

bump_resource::~bump_resource() {
  if constexpr (detail::hardened)
    if (order_.open != 0) detail::violate("a bump_resource is destroyed while a scope of it is open");
  give_memory_back();
}

void bump_resource::acquire() {
  if (capacity_ == 0) return;
  // NOLINTNEXTLINE(clang-analyzer-core.CallAndMessage): a buffer without upstream has its memory from the start
  memory_ = static_cast<std::byte*>(upstream_->allocate(owned_bytes(capacity_), base_alignment));
  meter_.settle(now_, 0);
  now_ = detail::region(detail::address(memory_), capacity_, 0);
  grows_after_ = 0;
  static_cast<void>(order_.issue(nullptr));  // scopes that began without memory end the slow way
  order_.move_tops(now_.base);
  detail::poison_in_program(memory_, owned_bytes(capacity_));
}

void bump_resource::give_memory_back() noexcept {
  if (memory_ == nullptr) return;
  if (upstream_ == nullptr) {
    detail::unpoison_in_program(memory_, capacity_);
    return;
  }
  meter_.settle(now_, 0);  // it counts in addresses
  detail::unpoison_in_program(memory_, owned_bytes(capacity_));
  upstream_->deallocate(memory_, owned_bytes(capacity_), base_alignment);
  memory_ = nullptr;
  now_ = {};
  grows_after_ = 0;
}

std::size_t bump_resource::available(std::size_t alignment) const noexcept {
  if (memory_ == nullptr) return capacity_;
  const std::uintptr_t top = std::min(detail::granule_end(now_.top), now_.last);
  return now_.last - top - std::min(~top & (alignment - 1), now_.last - top);  // a block's address is top + 1
}

void* bump_resource::allocate_slow(std::size_t bytes, std::size_t alignment) {
  std::size_t left = 0;
  if (void* const block = try_allocate_slow(bytes, alignment, &left)) return block;
  throw exhausted(bytes, left, capacity_);
}

// Where it does not fit: null, and what is left for a block of that alignment.
void* bump_resource::try_allocate_slow(std::size_t bytes, std::size_t alignment, std::size_t* left) {
  detail::require_alignment(alignment);
  if (reshaped_ != 0) detail::throw_reshaped_until_reset();
  if (bytes == 0) return detail::no_bytes(alignment);
  const bool had_no_memory = memory_ == nullptr && bytes <= capacity_;  // after release()
  if (had_no_memory) acquire();
  if (void* block = now_.take_aligned(bytes, alignment)) {
    static_cast<void>(order_.issue(nullptr));  // there may be a hole now
    return block;
  }
  if (left != nullptr) *left = available(alignment);
  if (had_no_memory) give_memory_back();  // where it lies, there is no room for the alignment
  return nullptr;
}

void bump_resource::restore(const checkpoint_type& cp) {
  if (cp.owner != this) detail::throw_others_checkpoint();
  order_.require_valid(cp.serial);
  if (cp.serial < reshaped_) leave_reshape();
  order_.went_back_to(cp.serial);
  go_back_past_holes(now_.base + cp.height);
  grows_after_ = now_.top;
}

void bump_resource::close_scope_slow(scope_mark& opened) noexcept {
  if (!order_.close_scope_slow(opened, nullptr)) return;
  if (opened.serial < reshaped_) leave_reshape();
  go_back_past_holes(opened.top);
  grows_after_ = std::min(grows_after_, now_.top);  // checkpoints made in it are gone
}

void bump_resource::go_back_past_holes(std::uintptr_t top) noexcept {
  if (memory_ == nullptr) return;  // after a trim(): whatever the checkpoint, nothing is in use
  if (now_.top > top) detail::poison_in_program(reinterpret_cast<void*>(top + 1), now_.top - top);
  meter_.falling(now_.top);
  now_.return_to(top);
  now_.forget_holes();
  now_.reclaim(order_.floor(nullptr, nullptr));
}

void bump_resource::note_freed(const void* block, std::size_t bytes) noexcept {
  if (block == nullptr || bytes == 0) return;
  if (const char* const mistake = now_.note_freed({static_cast<const std::byte*>(block), bytes}))
    detail::violate(mistake);
}

void bump_resource::leave_reshape() noexcept {
  reshaped_ = 0;
  detail::poison_in_program(reinterpret_cast<void*>(now_.base + 1), now_.last - now_.base);
  now_.top = now_.zero = now_.base;
  meter_.high = 0;
}

void bump_resource::reset() {
  order_.require_no_scope();
  if (reshaped_ != 0) leave_reshape();
  order_.reset();
  meter_.settle(now_, 0);
  meter_.next_round();
  detail::poison_in_program(reinterpret_cast<void*>(now_.base + 1), now_.last - now_.base);
  now_ = detail::region(now_.base + 1, now_.last - now_.base, 0);
  grows_after_ = 0;
}

void bump_resource::release() {
  reset();
  if (upstream_ != nullptr) give_memory_back();
}

std::size_t bump_resource::trim(std::size_t keep_bytes) noexcept {
  if (upstream_ == nullptr || memory_ == nullptr || used() != 0 || reshaped_ != 0 || order_.open != 0 ||
      capacity_ <= keep_bytes)
    return 0;
  give_memory_back();
  return capacity_;
}

void bump_resource::drop(std::span<const std::span<std::byte>> blocks) {
  for (std::span<std::byte> block : blocks)
    if (!block.empty() && (reshaped_ != 0 || !now_.is_live(block))) detail::throw_not_live();
  detail::require_disjoint(blocks);
  static_cast<void>(order_.issue(nullptr));
  meter_.falling(now_.top);
  for (std::span<std::byte> block : blocks)
    if (!block.empty()) now_.drop(block, order_.floor(nullptr, nullptr));
}

std::byte* bump_resource::reshape(std::size_t bytes, std::size_t alignment) {
  if (reshaped_ == 0 && used() != 0) detail::throw_reshape_of_a_used_buffer();
  const bool is_aligned = upstream_ != nullptr ? alignment <= base_alignment : (now_.base + 1) % alignment == 0;
  if (!is_aligned) detail::throw_reshape_alignment();
  if (bytes > capacity_) throw exhausted(bytes, capacity_, capacity_);
  if (memory_ == nullptr) acquire();
  if (bytes > now_.last - now_.base) throw exhausted(bytes, now_.last - now_.base, capacity_);
  if (reshaped_ == 0) {
    meter_.settle(now_, 0);
    now_.top = now_.zero = now_.last;  // full for allocate, and nothing used
    reshaped_ = order_.issue(nullptr);
    detail::unpoison_in_program(reinterpret_cast<void*>(now_.base + 1), now_.last - now_.base);
  }
  return reinterpret_cast<std::byte*>(now_.base + 1);
}

}  // namespace buffers
