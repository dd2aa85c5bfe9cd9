// Random programs on a pool, each step compared with a model: no two blocks in use overlap, contents are kept, and
// every number is the one that the model has.
// To be included after `import buffers;`, and after <algorithm>, <array>, <bit>, <cstddef>, <cstdint>, <iterator>,
// <map>, <memory_resource>, <new>, <span>, <stdexcept>, <type_traits> and <vector>.
#pragma once
#include "programs/choices.hpp"
#include "support/pool_sizes.hpp"
#include "support/require.hpp"
#include "support/untouched_memory.hpp"

inline constexpr std::size_t kib = 1024, mib = 1024 * kib;

/// What a program asks for.
struct mix {
  std::vector<std::size_t> sizes;
  std::size_t most_live;
  bool aligned;  // at times more than to 16 bytes
};

/// Pool: pool_resource, or concurrent_pool_resource in one thread.
template <class Pool>
class pool_program {
 public:
  pool_program(const buffers::pool_options& options, const mix& m, choices& from)
      : from_(from), mix_(m), spare_(options.spare), pool_(options, &upstream_) {}

  /// Returns how many operations it did.
  std::size_t run(std::size_t steps) {
    for (; steps != 0 && !from_.done(); --steps) {
      step();
      check();
    }
    while (!live_.empty()) give_back(live_.begin());
    check();
    require(pool_.used() == 0);
    if constexpr (is_whole) require(pool_.releasable() == pool_.capacity());
    const std::size_t capacity = pool_.capacity();
    require(pool_.trim(0) == capacity);
    pool_.release();
    require(upstream_.is_clean());
    return done_;
  }

 private:
  /// The pool for one thread, of which every number is known exactly.
  static constexpr bool is_whole = std::is_same_v<Pool, buffers::pool_resource>;

  struct block {
    std::size_t bytes, alignment;
    bool whole;  // from get()
    unsigned char fill;
  };
  using blocks = std::map<std::byte*, block>;

  std::size_t below(std::size_t n) { return from_.below(n); }

  static bool is_oversize(std::size_t bytes, std::size_t alignment) { return bytes > 128 * mib || alignment > 4096; }

  void step() {
    ++done_;
    const std::size_t choice = below(250);
    if (choice < 105)
      allocate(size(), alignment());
    else if (choice < 180)
      give_back_one();
    else if (choice < 197)
      get();
    else if (choice < 212)
      try_get();
    else if (choice < 220)
      many();
    else if (choice < 232)
      fail();
    else if (choice < 237)
      trim();
    else if (choice < 242)
      reset_peak();
    else if (choice < 244)
      mistakes();
    else if (choice < 245)
      clear();
    else if (choice < 246)
      release();
    else if (!live_.empty())
      check_contents(*std::next(live_.begin(), static_cast<std::ptrdiff_t>(below(live_.size()))));
  }

  std::size_t size() {
    const std::size_t most = mix_.sizes[below(mix_.sizes.size())];
    return from_.one_in(3) ? most : most - below(std::max(most / 4, 1uz));
  }
  std::size_t alignment() {
    if (!mix_.aligned || !from_.one_in(4)) return std::size_t{1} << below(5);
    return std::size_t{1} << below(from_.one_in(20) ? 20 : 13);
  }

  void allocate(std::size_t bytes, std::size_t alignment) {
    if (live_.size() >= mix_.most_live) return;
    void* const block = from_.one_in(2) ? pool_.allocate(bytes, alignment)
                                        : static_cast<std::pmr::memory_resource&>(pool_).allocate(bytes, alignment);
    note(static_cast<std::byte*>(block), bytes, alignment, false);
    if (!is_oversize(bytes, alignment)) ++requests_;
  }

  void get() {
    if constexpr (is_whole) {
      if (live_.size() >= mix_.most_live) return;
      const std::size_t bytes = size(), align = alignment();
      const std::span<std::byte> block = pool_.get(bytes, align);
      require(block.size() == whole(bytes, align));
      note(block.data(), block.size(), align, true);
      if (!is_oversize(bytes, align)) ++requests_;
    }
  }

  void try_get() {
    if constexpr (is_whole) {
      const std::size_t bytes = size(), align = alignment();
      const buffers::pool_stats before = pool_.stats();
      const std::span<std::byte> block = pool_.try_get(bytes, align);
      if (is_oversize(bytes, align)) return require(block.empty());
      ++requests_;
      require(pool_.stats().hits == before.hits + (block.empty() ? 0 : 1));
      if (block.empty()) return;
      require(block.size() == whole(bytes, align));
      note(block.data(), block.size(), align, true);
    }
  }

  static std::size_t whole(std::size_t bytes, std::size_t alignment) {
    return is_oversize(bytes, alignment) ? bytes : std::bit_ceil(std::max({bytes, alignment, 64uz}));
  }

  void note(std::byte* first, std::size_t bytes, std::size_t alignment, bool whole) {
    require(first != nullptr);
    require(reinterpret_cast<std::uintptr_t>(first) % alignment == 0);
    const auto [at, is_new] = live_.insert({first, {bytes, alignment, whole, static_cast<unsigned char>(++number_)}});
    require(is_new);
    require(at == live_.begin() || std::prev(at)->first + std::prev(at)->second.bytes <= first);
    require(std::next(at) == live_.end() || first + bytes <= std::next(at)->first);
    for_ends(*at, [](std::byte* byte, unsigned char fill) { *byte = std::byte{fill}; });
    used_ += bytes;
    peak_ = std::max(peak_, used_);
    count(at->second, 1);
  }

  /// The first and the last bytes: large blocks are not to be touched all over.
  static void for_ends(const typename blocks::value_type& b, const auto& f) {
    const std::size_t each = std::min(b.second.bytes, 40uz);
    for (std::size_t i = 0; i < each; ++i) {
      f(b.first + i, b.second.fill);
      f(b.first + b.second.bytes - 1 - i, b.second.fill);
    }
  }
  static void check_contents(const typename blocks::value_type& b) {
    bool same = true;
    for_ends(b, [&](std::byte* byte, unsigned char fill) { same = same && *byte == std::byte{fill}; });
    require(same);
  }

  void count(const block& b, std::size_t change) {
    if (is_oversize(b.bytes, b.alignment)) {
      oversize_ += change;
      return;
    }
    const std::size_t bytes = std::max(pool_block(b.bytes, b.alignment), 64uz);
    bucket_live_[static_cast<std::size_t>(std::bit_width(bytes - 1)) - 6] += change;
  }

  void give_back_one() {
    if (live_.empty()) return;
    give_back(std::next(live_.begin(), static_cast<std::ptrdiff_t>(below(live_.size()))));
  }
  void give_back(blocks::iterator at) {
    check_contents(*at);
    const auto [first, b] = *at;
    const std::size_t way = b.whole ? below(3) : 1 + below(2);
    if (way == 1)
      pool_.deallocate(first, b.bytes, b.alignment);
    else if (way == 2)
      static_cast<std::pmr::memory_resource&>(pool_).deallocate(first, b.bytes, b.alignment);
    else if constexpr (is_whole)
      pool_.put({first, b.bytes});
    used_ -= b.bytes;
    count(b, SIZE_MAX);
    live_.erase(at);
  }

  /// Hundreds of one size, which are given back in one of three orders.
  void many() {
    const std::size_t bytes = size();
    std::vector<std::byte*> all;
    for (std::size_t n = std::min(1 + below(700), 16 * mib / bytes + 1); n != 0; --n) {
      all.push_back(static_cast<std::byte*>(pool_.allocate(bytes)));
      note(all.back(), bytes, 16, false);
      if (!is_oversize(bytes, 16)) ++requests_;
    }
    check();
    done_ += 2 * all.size();
    const std::size_t order = below(3);
    if (order == 1) std::ranges::reverse(all);
    if (order == 2) from_.shuffle(all);
    for (std::byte* first : all) give_back(live_.find(first));
  }

  // Whatever was free may have moved; what is in use, and all other numbers, may not.
  void fail() {
    if (from_.one_in(2))
      upstream_.set_budget(upstream_.live_bytes() + (from_.one_in(2) ? 0 : 100 * kib));
    else
      upstream_.fail_after(below(3));
    const buffers::pool_stats before = pool_.stats();
    const std::size_t bytes = size(), align = alignment(), capacity = pool_.capacity();
    try {
      std::byte* const first = static_cast<std::byte*>(pool_.allocate(bytes, align));
      note(first, bytes, align, false);
      if (!is_oversize(bytes, align)) ++requests_;
    } catch (const std::bad_alloc&) {
      require(upstream_.refusals() != 0);
      require(pool_.stats().misses == before.misses);
      require(pool_.stats().hits == before.hits);
      require(pool_.capacity() <= capacity);
    }
    upstream_.set_budget(std::size_t{1} << 45);
    upstream_.fail_after(SIZE_MAX);
  }

  void mistakes() {
    const std::size_t bytes = size();
    require_throws<std::invalid_argument>([&] { (void)pool_.allocate(bytes, 24); });
    require_throws<std::bad_alloc>([&] { (void)pool_.allocate(SIZE_MAX - bytes); });
    require_throws<std::bad_alloc>([&] { (void)pool_.allocate(PTRDIFF_MAX - below(100), alignment()); });
    pool_.deallocate(nullptr, bytes);
    pool_.deallocate(pool_.allocate(0, 64), 0, 64);
    if constexpr (is_whole) {
      require_throws<std::invalid_argument>([&] { (void)pool_.get(bytes, 0); });
      std::byte local[64];
      require_throws<std::invalid_argument>([&] { pool_.put(local); });
      if (live_.empty()) return;
      const auto [first, b] = *std::next(live_.begin(), static_cast<std::ptrdiff_t>(below(live_.size())));
      require_throws<std::invalid_argument>([&] { pool_.put({first + 4, 1}); });  // blocks of 8 bytes are the smallest
      const std::size_t longest = is_oversize(b.bytes, b.alignment) ? b.bytes : pool_block(b.bytes, b.alignment);
      require_throws<std::invalid_argument>([&] { pool_.put({first, longest + 1}); });
    }
  }

  void trim() {
    if constexpr (is_whole) {
      const std::size_t releasable = pool_.releasable(), capacity = pool_.capacity();
      const std::size_t keep = from_.one_in(3) ? 0 : below(2 * releasable + 1);
      const std::size_t given = pool_.trim(keep);
      require(pool_.capacity() == capacity - given);
      require(pool_.releasable() == releasable - given);
      require(releasable - given <= keep);
      require(releasable > std::min(keep, spare_) || given == 0);
    } else {
      const std::size_t capacity = pool_.capacity(), given = pool_.trim(below(8) * 64 * kib);
      require(pool_.capacity() == capacity - given);
    }
  }

  void clear() {
    if constexpr (is_whole) {
      const std::size_t capacity = pool_.stats().oversize == 0 ? pool_.capacity() : 0;
      pool_.clear();
      forget();
      require(capacity == 0 || pool_.capacity() <= capacity);
      require(pool_.releasable() == pool_.capacity());
    }
  }
  void release() {
    pool_.release();
    forget();
    require(upstream_.is_clean());
    require(pool_.stats().free == 0);
  }
  void forget() {
    live_.clear();
    used_ = oversize_ = 0;
    bucket_live_.fill(0);
  }

  void reset_peak() {
    pool_.reset_peak();
    peak_ = used_;
  }

  void check() {
    const buffers::pool_stats stats = pool_.stats();
    require(pool_.used() == used_);
    require(is_whole ? pool_.peak() == peak_ : pool_.peak() >= peak_);
    require(stats.oversize == oversize_);
    require(pool_.capacity() <= upstream_.live_bytes());
    require(upstream_.live_bytes() - pool_.capacity() < 4096);  // the index of the chunks
    buffers::pool_counts sum;
    for (std::size_t b = 0; b < stats.buckets.size(); ++b) {
      const buffers::pool_bucket& bucket = stats.buckets[b];
      require(is_whole ? bucket.live == bucket_live_[b] : bucket.live >= bucket_live_[b]);
      require(bucket.free_bytes <= bucket.free * bucket.block_size);
      require(b == 0 || bucket.free_bytes * 2 >= bucket.free * bucket.block_size);
      sum.live += bucket.live;
      sum.free += bucket.free;
      sum.free_bytes += bucket.free_bytes;
      sum.hits += bucket.hits;
      sum.misses += bucket.misses;
    }
    require(sum.live == stats.live && sum.free == stats.free && sum.free_bytes == stats.free_bytes);
    require(sum.hits == stats.hits && sum.misses == stats.misses);
    if constexpr (is_whole) {
      require(stats.live == live_.size() - oversize_);
      require(stats.hits + stats.misses == requests_);
    }
    if (!live_.empty()) {
      const auto& [first, b] = *live_.begin();
      require(pool_.owns(first) && pool_.owns(first + b.bytes - 1));
    }
  }

  choices& from_;
  const mix& mix_;
  std::size_t spare_;
  untouched_memory upstream_;
  Pool pool_;
  blocks live_;
  std::size_t used_ = 0, peak_ = 0, oversize_ = 0, requests_ = 0, number_ = 0, done_ = 0;
  std::array<std::size_t, 22> bucket_live_{};
};

inline const mix small{{1, 8, 16, 24, 40, 48, 64, 100, 128, 200, 256}, 3000, false};
inline const mix medium{{64, 300, 512, 1000, 2048, 4096, 5000, 10'000, 16 * kib}, 1000, true};
inline const mix large{{16 * kib + 1, 20'000, 64 * kib, 100'000, 256 * kib, mib - 1, mib, mib + 1, 3 * mib}, 100, true};
inline const mix hostile{
    {1,    16,       17,           63,           64,       65,  128,     129,     1000,         4095,    4096,
     4097, 16 * kib, 16 * kib + 1, 20 * kib + 1, 64 * kib, mib, mib + 1, 5 * mib, 16 * mib + 1, 64 * mib},
    300,
    true};
inline const mix huge{
    {16, 5000, 20 * mib, 64 * mib + 1, 128 * mib, 128 * mib + 1, 160 * mib, std::size_t{1} << 32}, 20, true};
