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

using detail::bytes_of, detail::classes, detail::is_oversize, detail::shared_classes;

namespace detail {

store_options checked(const pool_options& options) {
  constexpr std::size_t tib = std::size_t{1} << 40;
  if (options.first_chunk < 64 * 1024 || options.first_chunk > tib)
    throw_option("pool_options::first_chunk", "must be from 64 KiB to 1 TiB");
  if (options.largest_chunk < options.first_chunk || options.largest_chunk > tib)
    throw_option("pool_options::largest_chunk", "must be from first_chunk to 1 TiB");
  return {options.first_chunk, options.largest_chunk, options.spare};
}

std::size_t bucket_bytes(std::size_t bytes, std::size_t alignment) noexcept {
  return std::bit_ceil(std::max({bytes, alignment, std::size_t{64}}));
}

void add_counts(pool_stats& stats, std::size_t block_bytes, const pool_counts& more) noexcept {
  const auto bucket = static_cast<std::size_t>(std::countr_zero(bucket_bytes(block_bytes, 1))) - 6;
  for (pool_counts* counts : {static_cast<pool_counts*>(&stats.buckets[bucket]), static_cast<pool_counts*>(&stats)}) {
    counts->live += more.live;
    counts->free += more.free;
    counts->free_bytes += more.free_bytes;
    counts->hits += more.hits;
    counts->misses += more.misses;
  }
}

pool_stats stats_of(const block_store& store) noexcept {
  pool_stats all;
  for (std::size_t b = 0; b < all.buckets.size(); ++b) all.buckets[b].block_size = std::size_t{64} << b;
  for (std::size_t c = 0; c < classes; ++c)
    add_counts(all, bytes_of(c),
               {.live = store.in_use(c), .free = store.available(c), .free_bytes = store.available(c) * bytes_of(c)});
  for (std::size_t bytes = 2 * largest_shared_block; bytes <= largest_block; bytes *= 2) {
    const auto& large = store.large(bytes);
    const auto& freed = store.freed_whole(bytes);
    add_counts(all, bytes,
               {.live = large.live,
                .free = freed.count,
                .free_bytes = freed.bytes,
                .hits = large.hits,
                .misses = large.misses});
  }
  return all;
}

void require_in_use(const void* block, std::size_t bytes, std::size_t alignment, block_store& store,
                    const oversize_list& oversize) noexcept {
  if (block == nullptr) return;
  const bool is_over = is_oversize(bytes, alignment);
  const std::size_t real = is_over ? oversize.block_bytes(block) : store.block_bytes(block);
  if (real == 0 && bytes == 0) return;  // of allocate(0)
  if (real == 0) violate("deallocate: the block is not from this pool");
  const std::size_t expected = is_over || bytes == 0    ? bytes
                               : bytes > largest_listed ? round_up(bytes, page_bytes)
                                                        : bytes_of(class_of(bytes, alignment));
  using enum block_store::giving;
  const auto giving = real != expected ? wrong_size : is_over ? right : store.note_given(block, bytes);
  if (giving == wrong_size)
    violate("deallocate: the size or alignment is not the one that the block was allocated with");
  if (giving == not_in_use) violate("deallocate: the block was given back before");
}

}  // namespace detail

pool_resource::pool_resource(const pool_options& options, gsl::not_null<std::pmr::memory_resource*> upstream)
    : store_(detail::checked(options), upstream, *this) {}

pool_resource::~pool_resource() { release(); }

// --- allocate and deallocate

// The class once more: that costs less here than to keep it while the magazine is looked at.
void* pool_resource::allocate_more(std::size_t bytes, std::size_t alignment) {
  void* const block = take(detail::class_of(bytes, alignment));
  handed_out(block, bytes);
  return block;
}

void* pool_resource::raise_peak(void* block) noexcept {
  peak_ += static_cast<std::size_t>(-below_peak_);
  below_peak_ = 0;
  return block;
}

void pool_resource::count_out(std::size_t bytes) noexcept {
  if ((below_peak_ -= static_cast<std::ptrdiff_t>(bytes)) < 0) static_cast<void>(raise_peak(nullptr));
}

void* pool_resource::allocate_slow(std::size_t bytes, std::size_t alignment) {
  detail::require_alignment(alignment);
  if (bytes == 0) return detail::no_bytes(alignment);
  if (is_oversize(bytes, alignment)) {
    void* const block = oversize_.allocate(bytes, alignment, *store_.upstream());
    count_out(bytes);
    return block;
  }
  void* const block = store_.take_large(bytes);
  handed_out(block, bytes);
  return block;
}

void* pool_resource::take(std::size_t size_class) {
  if (magazines_.has_used(size_class, store_))
    if (void* const used = magazines_.pop_used(size_class, store_)) return used;
  return magazines_.pop_fresh(size_class, store_);
}

void pool_resource::handed_out(void* block, std::size_t bytes) noexcept {
  count_out(bytes);
  detail::unpoison_in_program(block, bytes);
  if constexpr (detail::hardened) note_taken(block, bytes);
}

void pool_resource::deallocate_slow(void* block, std::size_t bytes, std::size_t alignment) noexcept {
  if (block == nullptr || bytes == 0) return;
  below_peak_ += static_cast<std::ptrdiff_t>(bytes);
  if (is_oversize(bytes, alignment))
    oversize_.deallocate(block, bytes, *store_.upstream());
  else
    store_.give_large(block);
}

void pool_resource::hold(void* block, std::size_t size_class) noexcept {
  if (magazines_.push(size_class, block)) return;
  magazines_.make_room(size_class, store_);
  static_cast<void>(magazines_.push(size_class, block));
}

void pool_resource::push_slow(void* block, std::size_t bytes, std::size_t alignment) noexcept {
  hold(block, detail::class_of(bytes, alignment));
}

std::size_t pool_resource::held_whole_bytes() const noexcept {
  std::size_t sum = 0;
  for (std::size_t c = shared_classes; c < classes; ++c) sum += magazines_.count(c) * bytes_of(c);
  return sum;
}

void pool_resource::count_held(int sign) const noexcept {
  for (std::size_t c = 0; c < classes; ++c) {
    for (void* const* block = magazines_.top[c]; *block != nullptr; --block) store_.count_held(*block, sign);
    if (const std::size_t count = magazines_.fresh_count(c); count != 0)
      store_.count_held(magazines_.fresh[c].first, sign * static_cast<int>(count));
  }
}

void pool_resource::give_held(bool shared) noexcept {
  if (shared) magazines_.give_fresh(store_);
  magazines_.give_all(shared ? 0 : shared_classes, store_);
}

// --- get and put

std::span<std::byte> pool_resource::try_get(std::size_t bytes, std::size_t alignment) {
  detail::require_alignment(alignment);
  if (bytes == 0 || is_oversize(bytes, alignment)) return {};
  const std::size_t full = detail::bucket_bytes(bytes, alignment);
  void* block = nullptr;
  if (full > detail::largest_listed) {
    block = store_.take_used_large(full);
    if (block == nullptr) store_.count_large_miss(full);
  } else {
    const std::size_t size_class = detail::class_of(full);
    if (magazines_.has_used(size_class, store_)) block = magazines_.pop_used(size_class, store_);
    if (block == nullptr) ++magazines_.misses[size_class];
  }
  if (block == nullptr) return {};
  handed_out(block, full);
  return {static_cast<std::byte*>(block), full};
}

std::span<std::byte> pool_resource::get(std::size_t bytes, std::size_t alignment) {
  detail::require_alignment(alignment);
  if (bytes == 0) return {static_cast<std::byte*>(detail::no_bytes(alignment)), 0};
  if (is_oversize(bytes, alignment)) return {static_cast<std::byte*>(allocate(bytes, alignment)), bytes};
  const std::size_t full = detail::bucket_bytes(bytes, alignment);
  void* const block = full > detail::largest_listed ? store_.take_large(full) : take(detail::class_of(full));
  handed_out(block, full);
  return {static_cast<std::byte*>(block), full};
}

void pool_resource::put(std::span<std::byte> block) {
  if (block.empty()) return;
  const std::size_t bytes = store_.block_bytes(block.data());
  if (bytes == 0) {
    if (oversize_.block_bytes(block.data()) != block.size())
      throw std::invalid_argument("buffers: put: the span is not a block of this pool");
    oversize_.deallocate(block.data(), block.size(), *store_.upstream());
    below_peak_ += static_cast<std::ptrdiff_t>(block.size());
    return;
  }
  if (block.size() > bytes) throw std::invalid_argument("buffers: put: the span is longer than the block");
  if (magazines_.is_fresh(block.data(), bytes))
    throw std::invalid_argument("buffers: put: the block has not been handed out");
  if constexpr (detail::hardened) {
    if (block.size() != bytes) throw std::invalid_argument("buffers: put: the span is shorter than the block");
    if (store_.note_given(block.data(), 0) != detail::block_store::giving::right)
      throw std::invalid_argument("buffers: put: the block is in the pool already");
  }
  below_peak_ += static_cast<std::ptrdiff_t>(block.size());
  if (bytes > detail::largest_listed) return store_.give_large(block.data());
  detail::poison_unless_mixed(block.data(), bytes);
  hold(block.data(), detail::class_of(bytes));
}

// --- all of it

void pool_resource::clear() noexcept {
  oversize_.deallocate_all(*store_.upstream());
  magazines_.give_fresh(store_);
  magazines_.forget();
  store_.take_all_back();
  below_peak_ = static_cast<std::ptrdiff_t>(peak_);
}

void pool_resource::release() noexcept {
  oversize_.deallocate_all(*store_.upstream());
  magazines_.forget();
  store_.release();
  below_peak_ = static_cast<std::ptrdiff_t>(peak_);
}

std::size_t pool_resource::trim(std::size_t keep_bytes) noexcept {
  const std::size_t before = store_.capacity();
  give_held(true);
  store_.trim(keep_bytes);
  return before - store_.capacity();
}

void pool_resource::reset_peak() noexcept {
  peak_ = used();
  below_peak_ = 0;
}

bool pool_resource::owns(const void* byte) const noexcept { return store_.owns(byte) || oversize_.owns(byte); }

pool_stats pool_resource::stats() const noexcept {
  pool_stats all = detail::stats_of(store_);
  for (std::size_t c = 0; c < classes; ++c) {
    const std::size_t here = magazines_.count(c);
    detail::add_counts(all, bytes_of(c),  // what the store counts as live is here in part
                       {.live = 0 - here - magazines_.fresh_count(c),
                        .free = here,
                        .free_bytes = here * bytes_of(c),
                        .hits = static_cast<std::size_t>(magazines_.taken[c]),
                        .misses = static_cast<std::size_t>(magazines_.misses[c])});
  }
  all.oversize = oversize_.count();
  return all;
}

// --- the hardened build

void pool_resource::note_taken(void* block, std::size_t bytes) noexcept { store_.note_taken(block, bytes); }

void pool_resource::note_given(void* block, std::size_t bytes, std::size_t alignment) noexcept {
  detail::require_in_use(block, bytes, alignment, store_, oversize_);
}

}  // namespace buffers
