module;
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <gsl/pointers>
#include <memory_resource>
#include <new>
#include <span>
#include <stdexcept>
#include <utility>
module buffers.resources;

namespace buffers {

using detail::bytes_of, detail::classes, detail::shared_classes;

namespace {

using detail::is_oversize;

// How many blocks a full list has: about 64 KiB at first, then 64 blocks, then about 4 MiB.
std::size_t depth(std::size_t size_class) noexcept {
  const std::size_t bytes = bytes_of(size_class);
  if (bytes <= 1024) return bytes <= 256 ? 256 : 64 * 1024 / bytes;
  return bytes <= 64 * 1024 ? 64 : (std::size_t{4} << 20) / bytes;
}

// The size of the blocks of the bucket that a request falls into.
std::size_t bucket_bytes(std::size_t bytes, std::size_t alignment) {
  return std::bit_ceil(std::max({bytes, alignment, std::size_t{64}}));
}

pool_bucket& bucket_of(pool_stats& stats, std::size_t bytes) {
  return stats.buckets[static_cast<std::size_t>(std::countr_zero(bucket_bytes(bytes, 1))) - 6];
}

detail::store_options checked(const pool_options& options) {
  if (options.first_chunk < 64 * 1024 || options.first_chunk > detail::largest_request / 2)
    detail::throw_option("pool_options.first_chunk", "must be from 64 KiB to half of the address space");
  if (options.largest_chunk < options.first_chunk || options.largest_chunk > std::size_t{1} << 40)
    detail::throw_option("pool_options.largest_chunk", "must be from first_chunk to 1 TiB");
  return {options.first_chunk, options.largest_chunk, options.spare, depth};
}

}  // namespace

pool_resource::pool_resource(const pool_options& options, gsl::not_null<std::pmr::memory_resource*> upstream)
    : store_(checked(options), upstream, *this) {}

pool_resource::~pool_resource() { release(); }

// --- allocate and deallocate

void* pool_resource::allocate_slow(std::size_t bytes, std::size_t alignment) {
  detail::require_alignment(alignment);
  if (bytes == 0) return detail::no_bytes(alignment);
  if (is_oversize(bytes, alignment)) return allocate_oversize(bytes, alignment);
  void* const block =
      bytes > detail::largest_listed ? store_.take_large(bytes) : take(detail::class_of(bytes, alignment));
  handed_out(block, bytes);
  return block;
}

void* pool_resource::take(std::size_t size_class) {
  if (void* const block = lists_.pop_used(size_class, store_)) return block;
  return lists_.pop_fresh(size_class, store_);
}

void pool_resource::handed_out(void* block, std::size_t bytes) noexcept {
  below_peak_ -= static_cast<std::ptrdiff_t>(bytes);
  if (below_peak_ < 0) raise_peak();
  detail::unpoison_in_program(block, bytes);
  if constexpr (detail::hardened) note_taken(block);
}

void pool_resource::deallocate_slow(void* block, std::size_t bytes, std::size_t alignment) noexcept {
  if (block == nullptr || bytes == 0) return;
  if (is_oversize(bytes, alignment))
    return give_upstream(
        reinterpret_cast<oversize*>(static_cast<std::byte*>(block) + detail::round_up(bytes, alignof(oversize))));
  give(block, bytes > detail::largest_listed ? detail::classes : detail::class_of(bytes, alignment), bytes);
}

// `classes` stands for a large block.
void pool_resource::give(void* block, std::size_t size_class, std::size_t bytes) noexcept {
  below_peak_ += static_cast<std::ptrdiff_t>(bytes);
  if (size_class == classes) return store_.give_large(block);
  detail::poison_in_program(block, bytes_of(size_class));
  hold(block, size_class);
}

void pool_resource::hold(void* block, std::size_t size_class) noexcept {
  if (lists_.push(size_class, block)) make_room(size_class);
}

void pool_resource::make_room(std::size_t size_class) noexcept {
  store_.give(size_class, lists_.make_room(size_class, store_));
}

std::size_t pool_resource::held_whole_bytes() const noexcept {
  std::size_t sum = 0;
  for (std::size_t c = shared_classes; c < classes; ++c) sum += lists_.count(c, store_) * bytes_of(c);
  return sum;
}

void pool_resource::give_held(bool shared) noexcept {
  if (shared) lists_.give_fresh(store_);
  lists_.give_all(shared ? 0 : shared_classes, store_);
}

// --- get and put

std::span<std::byte> pool_resource::try_get(std::size_t bytes, std::size_t alignment) {
  detail::require_alignment(alignment);
  if (bytes == 0 || is_oversize(bytes, alignment)) return {};
  const std::size_t full = bucket_bytes(bytes, alignment);
  void* block = nullptr;
  if (full > detail::largest_listed) {
    block = store_.take_used_large(full);
  } else {
    const std::size_t size_class = detail::class_of(full);
    block = lists_.pop_used(size_class, store_);
    if (block == nullptr) ++lists_.misses[size_class];
  }
  if (block == nullptr) return {};
  handed_out(block, full);
  return {static_cast<std::byte*>(block), full};
}

std::span<std::byte> pool_resource::get(std::size_t bytes, std::size_t alignment) {
  detail::require_alignment(alignment);
  if (bytes == 0) return {};
  if (is_oversize(bytes, alignment)) return {static_cast<std::byte*>(allocate_oversize(bytes, alignment)), bytes};
  const std::size_t full = bucket_bytes(bytes, alignment);
  void* const block = full > detail::largest_listed ? store_.take_large(full) : take(detail::class_of(full));
  handed_out(block, full);
  return {static_cast<std::byte*>(block), full};
}

void pool_resource::put(std::span<std::byte> block) {
  if (block.empty()) return;
  const std::size_t bytes = store_.block_bytes(block.data());
  if (bytes == 0) {
    oversize* const found = find_oversize(block.data());
    if (found == nullptr || block.size() > found->bytes)
      throw std::invalid_argument("buffers: put: the span does not begin at a block of this pool");
    return give_upstream(found);
  }
  if (block.size() > bytes) throw std::invalid_argument("buffers: put: the span is longer than the block");
  if constexpr (detail::hardened) {
    if (block.size() != bytes) throw std::invalid_argument("buffers: put: the span is shorter than the block");
    if (!store_.note_in_use(block.data(), false))
      throw std::invalid_argument("buffers: put: the block is in the pool already");
  }
  give(block.data(), bytes > detail::largest_listed ? classes : detail::class_of(bytes), block.size());
}

// --- blocks of upstream's own

void* pool_resource::allocate_oversize(std::size_t bytes, std::size_t alignment) {
  const std::size_t size = detail::round_up(bytes, alignof(oversize));
  const std::size_t strictest = std::max(alignment, alignof(oversize));
  auto* const memory =
      static_cast<std::byte*>(store_.upstream()->allocate(detail::add_bytes(size, sizeof(oversize)), strictest));
  auto* const made = ::new (memory + size) oversize{oversize_, nullptr, memory, size, strictest};
  if (oversize_ != nullptr) oversize_->previous = made;
  oversize_ = made;
  ++oversize_count_;
  oversize_bytes_ += size + sizeof(oversize);
  below_peak_ -= static_cast<std::ptrdiff_t>(size);
  if (below_peak_ < 0) raise_peak();
  return memory;
}

pool_resource::oversize* pool_resource::find_oversize(const void* block) const noexcept {
  oversize* at = oversize_;
  while (at != nullptr && at->block != block) at = at->next;
  return at;
}

void pool_resource::give_upstream(oversize* block) noexcept {
  (block->previous != nullptr ? block->previous->next : oversize_) = block->next;
  if (block->next != nullptr) block->next->previous = block->previous;
  --oversize_count_;
  oversize_bytes_ -= block->bytes + sizeof(oversize);
  below_peak_ += static_cast<std::ptrdiff_t>(block->bytes);
  store_.upstream()->deallocate(block->block, block->bytes + sizeof(oversize), block->alignment);
}

// --- all of it

void pool_resource::clear() noexcept {
  while (oversize_ != nullptr) give_upstream(oversize_);
  lists_.give_fresh(store_);
  lists_.forget(store_);
  store_.take_all_back();
  below_peak_ = static_cast<std::ptrdiff_t>(peak_);
}

void pool_resource::release() noexcept {
  while (oversize_ != nullptr) give_upstream(oversize_);
  lists_.forget(store_);
  store_.release();
  below_peak_ = static_cast<std::ptrdiff_t>(peak_);
}

std::size_t pool_resource::trim(std::size_t keep_bytes) noexcept {
  const std::size_t before = store_.capacity();
  give_held(true);
  store_.trim(keep_bytes);
  return before - store_.capacity();
}

std::size_t pool_resource::releasable() const noexcept {
  for (std::size_t c = 0; c < classes; ++c) {
    for (const void* block = lists_.first[c]; block != nullptr; block = detail::next_block(block))
      store_.count_held(block);
    for (const void* block = lists_.second[c].first; block != nullptr; block = detail::next_block(block))
      store_.count_held(block);
    if (const std::size_t count = lists_.fresh_count(c); count != 0) store_.count_held(lists_.fresh[c].first, count);
  }
  return store_.releasable();
}

void pool_resource::reset_peak() noexcept {
  peak_ = used();
  below_peak_ = 0;
}

bool pool_resource::owns(const void* byte) const noexcept {
  if (store_.owns(byte)) return true;
  for (const oversize* at = oversize_; at != nullptr; at = at->next)
    if (detail::address(byte) - detail::address(at->block) < at->bytes) return true;
  return false;
}

pool_stats pool_resource::stats() const noexcept {
  pool_stats all;
  for (std::size_t b = 0; b < all.buckets.size(); ++b) all.buckets[b].block_size = std::size_t{64} << b;
  for (std::size_t c = 0; c < classes; ++c) {
    const std::size_t here = lists_.count(c, store_), free = here + store_.available(c);
    for (pool_counts* counts :
         {static_cast<pool_counts*>(&bucket_of(all, bytes_of(c))), static_cast<pool_counts*>(&all)}) {
      counts->live += store_.in_use(c) - here - lists_.fresh_count(c);
      counts->free += free;
      counts->free_bytes += free * bytes_of(c);
      counts->hits += static_cast<std::size_t>(lists_.taken[c]);
      counts->misses += static_cast<std::size_t>(lists_.misses[c]);
    }
  }
  for (std::size_t bytes = 2 * detail::largest_listed; bytes <= detail::largest_block; bytes *= 2) {
    const auto& large = store_.large(bytes);
    for (pool_counts* counts : {static_cast<pool_counts*>(&bucket_of(all, bytes)), static_cast<pool_counts*>(&all)}) {
      counts->live += large.live;
      counts->free += large.free;
      counts->free_bytes += large.free * bytes;
      counts->hits += large.hits;
      counts->misses += large.misses;
    }
  }
  all.oversize = oversize_count_;
  return all;
}

// --- the hardened build

void pool_resource::note_taken(void* block) noexcept { static_cast<void>(store_.note_in_use(block, true)); }

void pool_resource::note_given(void* block, std::size_t bytes, std::size_t alignment) noexcept {
  if (block == nullptr || bytes == 0) return;
  if (is_oversize(bytes, alignment)) {
    const oversize* const found = find_oversize(block);
    if (found == nullptr) detail::violate("deallocate: the block is not from this pool_resource");
    if (found->bytes != detail::round_up(bytes, alignof(oversize)))
      detail::violate("deallocate: the size is not the one that the block was allocated with");
    return;
  }
  const std::size_t real = store_.block_bytes(block);
  if (real == 0) detail::violate("deallocate: the block is not from this pool_resource");
  const std::size_t expected = bytes > detail::largest_listed ? detail::round_up(bytes, detail::page_bytes)
                                                              : bytes_of(detail::class_of(bytes, alignment));
  if (real != expected)
    detail::violate("deallocate: the size or alignment is not the one that the block was allocated with");
  if (!store_.note_in_use(block, false)) detail::violate("deallocate: the block was given back before");
}

}  // namespace buffers
