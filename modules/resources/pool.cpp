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

// Blocks of greater classes are few, and kept account of by their bytes.
constexpr std::size_t largest_listed_class = detail::class_of(detail::largest_listed);

// How many blocks a full list has: about 64 KiB at first, then 64 blocks, then about 4 MiB.
std::size_t depth(std::size_t size_class) noexcept {
  const std::size_t bytes = bytes_of(size_class);
  if (bytes <= 1024) return bytes <= 256 ? 256 : 64 * 1024 / bytes;
  return bytes <= 64 * 1024 ? 64 : std::max(std::size_t{2}, (std::size_t{4} << 20) / bytes);
}

// The class of the bucket that a request falls into.
std::size_t bucket_class(std::size_t bytes, std::size_t alignment) {
  return detail::class_of(std::bit_ceil(std::max({bytes, alignment, std::size_t{64}})));
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
    : spare_(options.spare), store_(checked(options), upstream, *this) {}

pool_resource::~pool_resource() { release(); }

// --- allocate and deallocate

void* pool_resource::allocate_slow(std::size_t bytes, std::size_t alignment) {
  detail::require_alignment(alignment);
  if (bytes == 0) return detail::no_bytes(alignment);
  if (is_oversize(bytes, alignment)) return allocate_oversize(bytes, alignment);
  void* const block = take(detail::class_of(bytes, alignment), bytes);
  detail::unpoison_in_program(block, bytes);
  return block;
}

void* pool_resource::take(std::size_t size_class, std::size_t bytes) {
  void* block = lists_.pop_slow(size_class, store_);
  if (block == nullptr) {
    block = store_.carve(size_class);
    ++lists_.misses[size_class];
  } else if (size_class > largest_listed_class) {
    held_large_bytes_ -= bytes_of(size_class);
  }
  handed_out(bytes);
  if constexpr (detail::hardened) note_taken(block);
  return block;
}

void pool_resource::handed_out(std::size_t bytes) noexcept {
  below_peak_ -= static_cast<std::ptrdiff_t>(bytes);
  if (below_peak_ < 0) raise_peak();
}

void pool_resource::deallocate_slow(void* block, std::size_t bytes, std::size_t alignment) noexcept {
  if (block == nullptr || bytes == 0) return;
  if (is_oversize(bytes, alignment))
    return give_upstream(reinterpret_cast<oversize*>(static_cast<std::byte*>(block) + oversize::offset(bytes)));
  give(block, detail::class_of(bytes, alignment), bytes);
}

void pool_resource::give(void* block, std::size_t size_class, std::size_t bytes) noexcept {
  below_peak_ += static_cast<std::ptrdiff_t>(bytes);
  hold(block, size_class);
  detail::poison_in_program(block, bytes_of(size_class));
  if (held_large_bytes_ > spare_) give_held(false);
}

void pool_resource::hold(void* block, std::size_t size_class) noexcept {
  if (size_class > largest_listed_class) held_large_bytes_ += bytes_of(size_class);
  if (lists_.push(size_class, block)) make_room(size_class);
}

void pool_resource::make_room(std::size_t size_class) noexcept {
  const detail::block_list full = lists_.make_room(size_class, store_);
  if (size_class > largest_listed_class) held_large_bytes_ -= full.count * bytes_of(size_class);
  store_.give(size_class, full);
}

std::size_t pool_resource::held_whole_bytes() const noexcept {
  std::size_t sum = 0;
  for (std::size_t c = shared_classes; c < classes; ++c) sum += lists_.count(c, store_) * bytes_of(c);
  return sum;
}

void pool_resource::give_held(bool shared) noexcept {
  held_large_bytes_ = 0;
  lists_.give_all(shared ? 0 : shared_classes, store_);
}

// --- get and put

std::span<std::byte> pool_resource::try_get(std::size_t bytes, std::size_t alignment) {
  detail::require_alignment(alignment);
  if (bytes == 0 || is_oversize(bytes, alignment)) return {};
  const std::size_t size_class = bucket_class(bytes, alignment);
  if (lists_.count(size_class, store_) == 0 && store_.available(size_class) == 0) {
    ++lists_.misses[size_class];
    return {};
  }
  auto* const block = static_cast<std::byte*>(take(size_class, bytes_of(size_class)));
  detail::unpoison_in_program(block, bytes_of(size_class));
  return {block, bytes_of(size_class)};
}

std::span<std::byte> pool_resource::get(std::size_t bytes, std::size_t alignment) {
  detail::require_alignment(alignment);
  if (bytes == 0) return {};
  if (is_oversize(bytes, alignment)) return {static_cast<std::byte*>(allocate_oversize(bytes, alignment)), bytes};
  const std::size_t size_class = bucket_class(bytes, alignment);
  auto* const block = static_cast<std::byte*>(take(size_class, bytes_of(size_class)));
  detail::unpoison_in_program(block, bytes_of(size_class));
  return {block, bytes_of(size_class)};
}

void pool_resource::put(std::span<std::byte> block) {
  if (block.empty()) return;
  std::size_t size_class = 0;
  if (!store_.find_block(block.data(), size_class)) {
    oversize* const found = find_oversize(block.data());
    if (found == nullptr || block.size() > found->bytes)
      throw std::invalid_argument("buffers: put: the span does not begin at a block of this pool");
    if (detail::hardened && block.size() != found->bytes)
      throw std::invalid_argument("buffers: put: the span is shorter than the block");
    return give_upstream(found);
  }
  if (block.size() > bytes_of(size_class))
    throw std::invalid_argument("buffers: put: the span is longer than the block");
  if constexpr (detail::hardened) {
    if (block.size() != bytes_of(size_class))
      throw std::invalid_argument("buffers: put: the span is shorter than the block");
    if (!store_.note_in_use(block.data(), false))
      throw std::invalid_argument("buffers: put: the block is in the pool already");
  }
  give(block.data(), size_class, block.size());
}

// --- blocks of upstream's own

void* pool_resource::allocate_oversize(std::size_t bytes, std::size_t alignment) {
  const std::size_t size = oversize::offset(bytes);
  const std::size_t strictest = std::max(alignment, alignof(oversize));
  auto* const memory =
      static_cast<std::byte*>(store_.upstream()->allocate(detail::add_bytes(size, sizeof(oversize)), strictest));
  auto* const made = ::new (memory + size) oversize{oversize_, nullptr, memory, bytes, strictest};
  if (oversize_ != nullptr) oversize_->previous = made;
  oversize_ = made;
  ++oversize_count_;
  oversize_bytes_ += made->upstream_bytes();
  handed_out(bytes);
  detail::poison_in_program(memory + bytes, size - bytes);
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
  const std::size_t upstream_bytes = block->upstream_bytes();
  oversize_bytes_ -= upstream_bytes;
  below_peak_ += static_cast<std::ptrdiff_t>(block->bytes);
  detail::unpoison_in_program(block->block, upstream_bytes);
  store_.upstream()->deallocate(block->block, upstream_bytes, block->alignment);
}

// --- all of it

void pool_resource::clear() noexcept {
  while (oversize_ != nullptr) give_upstream(oversize_);
  lists_.forget(store_);
  held_large_bytes_ = 0;
  store_.take_all_back();
  below_peak_ = static_cast<std::ptrdiff_t>(peak_);
}

void pool_resource::release() noexcept {
  while (oversize_ != nullptr) give_upstream(oversize_);
  lists_.forget(store_);
  held_large_bytes_ = 0;
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
    const auto b = static_cast<std::size_t>(std::bit_width(std::max(bytes_of(c), std::size_t{64}) - 1)) - 6;
    const std::size_t here = lists_.count(c, store_), free = here + store_.available(c);
    for (pool_counts* counts : {static_cast<pool_counts*>(&all.buckets[b]), static_cast<pool_counts*>(&all)}) {
      counts->live += store_.in_use(c) - here;
      counts->free += free;
      counts->free_bytes += free * bytes_of(c);
      counts->hits += static_cast<std::size_t>(lists_.taken[c]);
      counts->misses += static_cast<std::size_t>(lists_.misses[c]);
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
    if (found->bytes != bytes) detail::violate("deallocate: the size is not the one that the block was allocated with");
    return;
  }
  std::size_t size_class = 0;
  if (!store_.find_block(block, size_class)) detail::violate("deallocate: the block is not from this pool_resource");
  if (size_class != detail::class_of(bytes, alignment))
    detail::violate("deallocate: the size or alignment is not the one that the block was allocated with");
  if (!store_.note_in_use(block, false)) detail::violate("deallocate: the block was given back before");
}

}  // namespace buffers
