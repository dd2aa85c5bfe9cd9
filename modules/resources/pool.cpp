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

// How many blocks a list holds: about 64 KiB.
std::ptrdiff_t depth(std::size_t size_class) {
  if (size_class >= shared_classes) return PTRDIFF_MAX;  // these are counted in bytes
  return static_cast<std::ptrdiff_t>(std::clamp<std::size_t>(64 * 1024 / bytes_of(size_class), 8, 256));
}

// The class of the bucket that a request falls into.
std::size_t bucket_class(std::size_t bytes, std::size_t alignment) {
  return detail::class_of(std::bit_ceil(std::max({bytes, alignment, std::size_t{64}})));
}

bool is_oversize(std::size_t bytes, std::size_t alignment) {
  return bytes > detail::largest_block || alignment > detail::page_bytes;
}

detail::store_options checked(const pool_options& options) {
  if (options.first_chunk < 64 * 1024 || options.first_chunk > detail::largest_request / 2)
    detail::throw_option("pool_options.first_chunk", "must be from 64 KiB to half of the address space");
  if (options.largest_chunk < options.first_chunk || options.largest_chunk > std::size_t{1} << 40)
    detail::throw_option("pool_options.largest_chunk", "must be from first_chunk to 1 TiB");
  return {options.first_chunk, options.largest_chunk, options.spare};
}

}  // namespace

pool_resource::pool_resource(const pool_options& options, gsl::not_null<std::pmr::memory_resource*> upstream)
    : spare_(options.spare), store_(checked(options), upstream, *this) {
  forget_lists();
}

pool_resource::~pool_resource() { release(); }

void pool_resource::forget_lists() noexcept {
  for (std::size_t c = 0; c < classes; ++c) {
    list& of = lists_[c];
    of.first = nullptr;
    of.given = of.hits + reserves_[c].fresh;  // none is in use
    of.most = static_cast<std::ptrdiff_t>(of.given - of.hits);
    if (depth(c) != PTRDIFF_MAX)
      of.most += depth(c);
    else
      of.most = PTRDIFF_MAX;
    reserves_[c].second = {};
  }
  held_whole_bytes_ = 0;
}

// --- allocate and deallocate
// ------------------------------------------------------------------------------------------

void* pool_resource::allocate_slow(std::size_t bytes, std::size_t alignment) {
  detail::require_alignment(alignment);
  if (bytes == 0) return detail::no_bytes(alignment);
  if (is_oversize(bytes, alignment)) return allocate_oversize(bytes, alignment);
  void* const block = take(detail::class_of(bytes, alignment));
  detail::unpoison_in_program(block, bytes);
  return block;
}

void* pool_resource::take(std::size_t size_class) {
  void* block = take_listed(size_class);
  if (block == nullptr) {
    block = store_.carve(size_class);
    ++reserves_[size_class].fresh;
  }
  unused_peak_ -= static_cast<std::ptrdiff_t>(bytes_of(size_class));
  if (unused_peak_ < 0) raise_peak();
  if constexpr (detail::hardened) note_taken(block);
  return block;
}

// A block that was in use before; null when there is none.
void* pool_resource::take_listed(std::size_t size_class) noexcept {
  list& of = lists_[size_class];
  if (of.first == nullptr && size_class < shared_classes) {
    detail::block_list more = std::exchange(reserves_[size_class].second, {});
    if (more.count == 0) more = store_.take(size_class, static_cast<std::size_t>(depth(size_class)));
    of.first = more.first;
    of.most = static_cast<std::ptrdiff_t>(of.given - of.hits - more.count) + depth(size_class);
  }
  void* const block = of.first;
  if (block == nullptr) return nullptr;
  of.first = detail::next_block(block);
  ++of.hits;
  if (size_class >= shared_classes) held_whole_bytes_ -= bytes_of(size_class);
  return block;
}

void pool_resource::deallocate_slow(void* block, std::size_t bytes, std::size_t alignment) noexcept {
  if (block == nullptr || bytes == 0) return;
  if (is_oversize(bytes, alignment))
    return give_upstream(
        reinterpret_cast<oversize*>(static_cast<std::byte*>(block) + detail::round_up(bytes, alignof(oversize))));
  give(block, detail::class_of(bytes, alignment));
}

void pool_resource::give(void* block, std::size_t size_class) noexcept {
  list& of = lists_[size_class];
  detail::link_block(block, of.first);
  of.first = block;
  detail::poison_in_program(block, bytes_of(size_class));
  unused_peak_ += static_cast<std::ptrdiff_t>(bytes_of(size_class));
  if (static_cast<std::ptrdiff_t>(++of.given - of.hits) > of.most) make_room(of);
  if (size_class < shared_classes) return;
  held_whole_bytes_ += bytes_of(size_class);
  if (held_whole_bytes_ > spare_) give_held(false);
}

void pool_resource::make_room(list& full) noexcept {
  const auto size_class = static_cast<std::size_t>(&full - lists_);
  detail::block_list& second = reserves_[size_class].second;
  store_.give(size_class, second.first);
  second = {full.first, static_cast<std::size_t>(depth(size_class)) + 1};
  full.first = nullptr;
  full.most = static_cast<std::ptrdiff_t>(full.given - full.hits) + depth(size_class);
}

std::size_t pool_resource::listed(std::size_t size_class) const noexcept {
  std::size_t sum = reserves_[size_class].second.count;
  for (const void* block = lists_[size_class].first; block != nullptr; block = detail::next_block(block)) ++sum;
  return sum;
}

void pool_resource::give_held(bool shared) noexcept {
  held_whole_bytes_ = 0;
  for (std::size_t c = shared ? 0 : shared_classes; c < classes; ++c) {
    list& of = lists_[c];
    store_.give(c, std::exchange(of.first, nullptr));
    store_.give(c, std::exchange(reserves_[c].second, {}).first);
    if (c < shared_classes) of.most = static_cast<std::ptrdiff_t>(of.given - of.hits) + depth(c);
  }
}

void pool_resource::hold(void* block, std::size_t size_class) noexcept {
  list& of = lists_[size_class];
  detail::link_block(block, of.first);
  of.first = block;
  held_whole_bytes_ += bytes_of(size_class);
}

// --- get and put
// ------------------------------------------------------------------------------------------------------

std::span<std::byte> pool_resource::try_get(std::size_t bytes, std::size_t alignment) {
  detail::require_alignment(alignment);
  if (bytes == 0 || is_oversize(bytes, alignment)) return {};
  const std::size_t size_class = bucket_class(bytes, alignment);
  if (lists_[size_class].first == nullptr && reserves_[size_class].second.count == 0 && !store_.has(size_class)) {
    ++reserves_[size_class].failed;
    return {};
  }
  auto* const block = static_cast<std::byte*>(take(size_class));
  detail::unpoison_in_program(block, bytes_of(size_class));
  return {block, bytes_of(size_class)};
}

std::span<std::byte> pool_resource::get(std::size_t bytes, std::size_t alignment) {
  detail::require_alignment(alignment);
  if (bytes == 0) return {};
  if (is_oversize(bytes, alignment)) return {static_cast<std::byte*>(allocate_oversize(bytes, alignment)), bytes};
  const std::size_t size_class = bucket_class(bytes, alignment);
  auto* const block = static_cast<std::byte*>(take(size_class));
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
  give(block.data(), size_class);
}

// --- blocks of upstream's own
// -----------------------------------------------------------------------------------------

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
  unused_peak_ -= static_cast<std::ptrdiff_t>(size);
  if (unused_peak_ < 0) raise_peak();
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
  unused_peak_ += static_cast<std::ptrdiff_t>(block->bytes);
  store_.upstream()->deallocate(block->block, block->bytes + sizeof(oversize), block->alignment);
}

// --- all of it
// --------------------------------------------------------------------------------------------------------

void pool_resource::clear() noexcept {
  while (oversize_ != nullptr) give_upstream(oversize_);
  forget_lists();
  store_.take_all_back();
  unused_peak_ = static_cast<std::ptrdiff_t>(peak_);
}

void pool_resource::release() noexcept {
  while (oversize_ != nullptr) give_upstream(oversize_);
  forget_lists();
  store_.release();
  unused_peak_ = static_cast<std::ptrdiff_t>(peak_);
}

std::size_t pool_resource::trim(std::size_t keep_bytes) noexcept {
  const std::size_t before = store_.capacity();
  give_held(true);
  store_.trim(keep_bytes);
  return before - store_.capacity();
}

std::size_t pool_resource::releasable() const noexcept {
  for (std::size_t c = 0; c < classes; ++c) {
    for (const void* block = lists_[c].first; block != nullptr; block = detail::next_block(block))
      store_.count_held(block);
    for (const void* block = reserves_[c].second.first; block != nullptr; block = detail::next_block(block))
      store_.count_held(block);
  }
  return store_.releasable();
}

void pool_resource::reset_peak() noexcept {
  peak_ = used();
  unused_peak_ = 0;
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
    const std::size_t free = listed(c) + store_.available(c);
    for (pool_counts* counts : {static_cast<pool_counts*>(&all.buckets[b]), static_cast<pool_counts*>(&all)}) {
      counts->live += lists_[c].hits + reserves_[c].fresh - lists_[c].given;
      counts->free += free;
      counts->free_bytes += free * bytes_of(c);
      counts->hits += lists_[c].hits;
      counts->misses += reserves_[c].fresh + reserves_[c].failed;
    }
  }
  all.oversize = oversize_count_;
  return all;
}

// --- the hardened build
// -----------------------------------------------------------------------------------------------

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
  std::size_t size_class = 0;
  if (!store_.find_block(block, size_class)) detail::violate("deallocate: the block is not from this pool_resource");
  if (size_class != detail::class_of(bytes, alignment))
    detail::violate("deallocate: the size or alignment is not the one that the block was allocated with");
  if (!store_.note_in_use(block, false)) detail::violate("deallocate: the block was given back before");
}

}  // namespace buffers
