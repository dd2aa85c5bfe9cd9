// Random programs on a pool, each step compared with a model: no two blocks in use overlap, contents are kept, and
// every number is the one that the model has.
#include "support/child.hpp"
#include "support/pool_sizes.hpp"
#include "support/untouched_memory.hpp"

#include <algorithm>
#include <array>
#include <bit>
#include <boost/test/unit_test.hpp>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <iterator>
#include <map>
#include <memory_resource>
#include <new>
#include <random>
#include <span>
#include <stdexcept>
#include <vector>
import buffers;
import buffers.testing;

using buffers::pool_options;
using buffers::pool_resource;

namespace {

constexpr std::size_t kib = 1024, mib = 1024 * kib;

/// What a program asks for.
struct mix {
  std::vector<std::size_t> sizes;
  std::size_t most_live;
  bool aligned;  // at times more than to 16 bytes
};

class program {
 public:
  program(const pool_options& options, const mix& m, unsigned seed)
      : random_(seed), mix_(m), spare_(options.spare), pool_(options, &upstream_) {}

  void run(int steps) {
    for (int i = 0; i < steps; ++i) {
      step();
      check();
    }
    while (!live_.empty()) give_back(live_.begin());
    check();
    BOOST_REQUIRE(pool_.used() == 0u);
    const std::size_t releasable = pool_.releasable();
    BOOST_REQUIRE(releasable == pool_.capacity());
    BOOST_REQUIRE(pool_.trim(0) == releasable);
    pool_.release();
    BOOST_REQUIRE(upstream_.is_clean());
  }

 private:
  struct block {
    std::size_t bytes, alignment;
    bool whole;  // from get()
    unsigned char fill;
  };
  using blocks = std::map<std::byte*, block>;

  std::size_t below(std::size_t n) { return std::uniform_int_distribution<std::size_t>(0, n - 1)(random_); }

  static bool is_oversize(std::size_t bytes, std::size_t alignment) { return bytes > 128 * mib || alignment > 4096; }

  void step() {
    const std::size_t choice = below(1000);
    if (choice < 420)
      allocate(size(), alignment());
    else if (choice < 720)
      give_back_one();
    else if (choice < 790)
      get();
    else if (choice < 850)
      try_get();
    else if (choice < 880)
      many();
    else if (choice < 930)
      fail();
    else if (choice < 950)
      trim();
    else if (choice < 970)
      reset_peak();
    else if (choice < 980)
      mistakes();
    else if (choice < 984)
      clear();
    else if (choice < 986)
      release();
    else if (!live_.empty())
      check_contents(*std::next(live_.begin(), static_cast<std::ptrdiff_t>(below(live_.size()))));
  }

  std::size_t size() {
    const std::size_t most = mix_.sizes[below(mix_.sizes.size())];
    return below(3) == 0 ? most : most - below(std::max(most / 4, 1uz));
  }
  std::size_t alignment() {
    if (!mix_.aligned || below(4) != 0) return std::size_t{1} << below(5);
    return std::size_t{1} << below(below(20) == 0 ? 20 : 13);
  }

  void allocate(std::size_t bytes, std::size_t alignment) {
    if (live_.size() >= mix_.most_live) return;
    void* const block = below(2) == 0 ? pool_.allocate(bytes, alignment)
                                      : static_cast<std::pmr::memory_resource&>(pool_).allocate(bytes, alignment);
    note(static_cast<std::byte*>(block), bytes, alignment, false);
    if (!is_oversize(bytes, alignment)) ++requests_;
  }

  void get() {
    if (live_.size() >= mix_.most_live) return;
    const std::size_t bytes = size(), align = alignment();
    const std::span<std::byte> block = pool_.get(bytes, align);
    BOOST_REQUIRE(block.size() == whole(bytes, align));
    note(block.data(), block.size(), align, true);
    if (!is_oversize(bytes, align)) ++requests_;
  }

  void try_get() {
    const std::size_t bytes = size(), align = alignment();
    const buffers::pool_stats before = pool_.stats();
    const std::span<std::byte> block = pool_.try_get(bytes, align);
    if (is_oversize(bytes, align)) {
      BOOST_REQUIRE(block.empty());
      return;
    }
    ++requests_;
    BOOST_REQUIRE(pool_.stats().hits == before.hits + (block.empty() ? 0 : 1));
    if (block.empty()) return;
    BOOST_REQUIRE(block.size() == whole(bytes, align));
    note(block.data(), block.size(), align, true);
  }

  static std::size_t whole(std::size_t bytes, std::size_t alignment) {
    return is_oversize(bytes, alignment) ? bytes : std::bit_ceil(std::max({bytes, alignment, 64uz}));
  }

  void note(std::byte* first, std::size_t bytes, std::size_t alignment, bool whole) {
    BOOST_REQUIRE(first != nullptr);
    BOOST_REQUIRE(reinterpret_cast<std::uintptr_t>(first) % alignment == 0u);
    const auto [at, is_new] = live_.insert({first, {bytes, alignment, whole, static_cast<unsigned char>(random_())}});
    BOOST_REQUIRE(is_new);
    if (at != live_.begin()) BOOST_REQUIRE((std::prev(at)->first + std::prev(at)->second.bytes <= first));
    if (std::next(at) != live_.end()) BOOST_REQUIRE((first + bytes <= std::next(at)->first));
    for_ends(*at, [](std::byte* byte, unsigned char fill) { *byte = std::byte{fill}; });
    used_ += bytes;
    peak_ = std::max(peak_, used_);
    count(at->second, 1);
  }

  /// The first and the last bytes: large blocks are not to be touched all over.
  static void for_ends(const blocks::value_type& b, const auto& f) {
    const std::size_t each = std::min(b.second.bytes, 40uz);
    for (std::size_t i = 0; i < each; ++i) {
      f(b.first + i, b.second.fill);
      f(b.first + b.second.bytes - 1 - i, b.second.fill);
    }
  }
  static void check_contents(const blocks::value_type& b) {
    bool same = true;
    for_ends(b, [&](std::byte* byte, unsigned char fill) { same = same && *byte == std::byte{fill}; });
    BOOST_REQUIRE(same);
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
    if (b.whole && below(2) == 0)
      pool_.put({first, b.bytes});
    else if (below(2) == 0)
      pool_.deallocate(first, b.bytes, b.alignment);
    else
      static_cast<std::pmr::memory_resource&>(pool_).deallocate(first, b.bytes, b.alignment);
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
    const std::size_t order = below(3);
    if (order == 1) std::ranges::reverse(all);
    if (order == 2) std::ranges::shuffle(all, random_);
    for (std::byte* first : all) give_back(live_.find(first));
  }

  // Whatever was free may have moved; what is in use, and all other numbers, may not.
  void fail() {
    upstream_.set_budget(upstream_.live_bytes() + (below(2) == 0 ? 0 : 100 * kib));
    const buffers::pool_stats before = pool_.stats();
    const std::size_t bytes = size(), align = alignment(), capacity = pool_.capacity();
    try {
      std::byte* const first = static_cast<std::byte*>(pool_.allocate(bytes, align));
      note(first, bytes, align, false);
      if (!is_oversize(bytes, align)) ++requests_;
    } catch (const std::bad_alloc&) {
      BOOST_REQUIRE(pool_.stats().misses == before.misses);
      BOOST_REQUIRE(pool_.stats().hits == before.hits);
      BOOST_REQUIRE(pool_.capacity() <= capacity);
    }
    upstream_.set_budget(std::size_t{1} << 45);
  }

  void mistakes() {
    const std::size_t bytes = size();
    BOOST_CHECK_THROW((void)pool_.allocate(bytes, 24), std::invalid_argument);
    BOOST_CHECK_THROW((void)pool_.get(bytes, 0), std::invalid_argument);
    BOOST_CHECK_THROW((void)pool_.allocate(SIZE_MAX - bytes), std::bad_alloc);
    BOOST_CHECK_THROW((void)pool_.allocate(PTRDIFF_MAX - below(100), alignment()), std::bad_alloc);
    pool_.deallocate(nullptr, bytes);
    pool_.deallocate(pool_.allocate(0, 64), 0, 64);
    std::byte local[64];
    BOOST_CHECK_THROW(pool_.put(local), std::invalid_argument);
    if (live_.empty()) return;
    const auto [first, b] = *std::next(live_.begin(), static_cast<std::ptrdiff_t>(below(live_.size())));
    BOOST_CHECK_THROW(pool_.put({first + 8, 1}), std::invalid_argument);
    const std::size_t longest = is_oversize(b.bytes, b.alignment) ? b.bytes : pool_block(b.bytes, b.alignment);
    BOOST_CHECK_THROW(pool_.put({first, longest + 1}), std::invalid_argument);
  }

  void trim() {
    const std::size_t releasable = pool_.releasable(), capacity = pool_.capacity();
    const std::size_t keep = below(3) == 0 ? 0 : below(2 * releasable + 1);
    const std::size_t given = pool_.trim(keep);
    BOOST_REQUIRE(pool_.capacity() == capacity - given);
    BOOST_REQUIRE(pool_.releasable() == releasable - given);
    BOOST_REQUIRE(releasable - given <= keep);
    if (releasable <= std::min(keep, spare_)) BOOST_REQUIRE(given == 0u);
  }

  void clear() {
    const std::size_t capacity = pool_.stats().oversize == 0 ? pool_.capacity() : 0;
    pool_.clear();
    forget();
    if (capacity != 0) BOOST_REQUIRE(pool_.capacity() <= capacity);
    BOOST_REQUIRE(pool_.releasable() == pool_.capacity());
  }
  void release() {
    pool_.release();
    forget();
    BOOST_REQUIRE(upstream_.is_clean());
    BOOST_REQUIRE(pool_.stats().free == 0u);
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
    BOOST_REQUIRE(pool_.used() == used_);
    BOOST_REQUIRE(pool_.peak() == peak_);
    BOOST_REQUIRE(stats.oversize == oversize_);
    BOOST_REQUIRE(stats.live == live_.size() - oversize_);
    BOOST_REQUIRE(stats.hits + stats.misses == requests_);
    BOOST_REQUIRE(pool_.capacity() <= upstream_.live_bytes());
    BOOST_REQUIRE(upstream_.live_bytes() - pool_.capacity() < 4096u);  // the index of the chunks
    buffers::pool_counts sum;
    for (std::size_t b = 0; b < stats.buckets.size(); ++b) {
      const buffers::pool_bucket& bucket = stats.buckets[b];
      BOOST_REQUIRE(bucket.live == bucket_live_[b]);
      BOOST_REQUIRE(bucket.free_bytes <= bucket.free * bucket.block_size);
      if (b != 0) BOOST_REQUIRE(bucket.free_bytes * 2 >= bucket.free * bucket.block_size);
      sum.live += bucket.live;
      sum.free += bucket.free;
      sum.free_bytes += bucket.free_bytes;
      sum.hits += bucket.hits;
      sum.misses += bucket.misses;
    }
    BOOST_REQUIRE(sum.live == stats.live);
    BOOST_REQUIRE(sum.free == stats.free);
    BOOST_REQUIRE(sum.free_bytes == stats.free_bytes);
    BOOST_REQUIRE(sum.hits == stats.hits);
    BOOST_REQUIRE(sum.misses == stats.misses);
    if (!live_.empty()) {
      const auto& [first, b] = *live_.begin();
      BOOST_REQUIRE((pool_.owns(first) && pool_.owns(first + b.bytes - 1)));
    }
  }

  std::mt19937 random_;
  const mix& mix_;
  std::size_t spare_;
  untouched_memory upstream_;
  pool_resource pool_;
  blocks live_;
  std::size_t used_ = 0, peak_ = 0, oversize_ = 0, requests_ = 0;
  std::array<std::size_t, 22> bucket_live_{};
};

const mix small{{1, 8, 16, 24, 40, 48, 64, 100, 128, 200, 256}, 3000, false};
const mix medium{{64, 300, 512, 1000, 2048, 4096, 5000, 10'000, 16 * kib}, 1000, true};
const mix large{{16 * kib + 1, 20'000, 64 * kib, 100'000, 256 * kib, mib - 1, mib, mib + 1, 3 * mib}, 100, true};
const mix hostile{
    {1,    16,       17,           63,           64,       65,  128,     129,     1000,         4095,    4096,
     4097, 16 * kib, 16 * kib + 1, 20 * kib + 1, 64 * kib, mib, mib + 1, 5 * mib, 16 * mib + 1, 64 * mib},
    300,
    true};
const mix huge{{16, 5000, 20 * mib, 64 * mib + 1, 128 * mib, 128 * mib + 1, 160 * mib, std::size_t{1} << 32}, 20, true};

// AddressSanitizer marks each byte of a large block: few of these do.
void run(const pool_options& options, const mix& m, int steps, unsigned seeds) {
  for (unsigned seed = 1; seed <= seeds; ++seed) {
    BOOST_TEST_CONTEXT("seed " << seed) { program(options, m, seed).run(steps); }
  }
}

}  // namespace

BOOST_AUTO_TEST_SUITE(pool_programs)

BOOST_AUTO_TEST_CASE(of_small_blocks) { run({}, small, 1200, 4); }
BOOST_AUTO_TEST_CASE(of_medium_blocks) { run({}, medium, 1000, 4); }
BOOST_AUTO_TEST_CASE(of_large_blocks) { run({}, large, 1500, sanitized ? 2 : 6); }
BOOST_AUTO_TEST_CASE(of_hostile_sizes) { run({}, hostile, 1500, sanitized ? 2 : 5); }
BOOST_AUTO_TEST_CASE(of_huge_blocks) { run({}, huge, sanitized ? 50 : 600, sanitized ? 1 : 4); }
BOOST_AUTO_TEST_CASE(in_small_chunks) {
  const pool_options options{.largest_chunk = 64 * kib};
  run(options, small, 800, 2);
  run(options, medium, 500, 2);
  run(options, hostile, 1000, 3);
}
BOOST_AUTO_TEST_CASE(that_keep_nothing) {
  const pool_options options{.largest_chunk = 512 * kib, .spare = 0};
  const unsigned seeds = sanitized ? 1 : 3;
  run(options, medium, 500, 2);
  run(options, large, 1500, seeds);
  run(options, hostile, 1000, seeds);
}
BOOST_AUTO_TEST_CASE(in_one_large_chunk) {
  const pool_options options{.first_chunk = 64 * mib, .spare = SIZE_MAX};
  run(options, small, 800, 2);
  run(options, hostile, 1000, 3);
}

// Of one size, nothing but clear() and the lists move blocks: each one that was ever made is in use or free.
BOOST_AUTO_TEST_CASE(blocks_of_one_size_are_in_use_or_free) {
  for (std::size_t size : {16uz, 64uz, 256uz, 1000uz, 5000uz}) {
    std::mt19937 random(static_cast<unsigned>(size));
    pool_resource pool;
    std::vector<void*> live;
    for (int phase = 0; phase < 40; ++phase) {
      if (phase % 13 == 12) {
        pool.clear();
        live.clear();
      }
      const std::size_t wanted = random() % 4000;
      while (live.size() < wanted) live.push_back(pool.allocate(size));
      if (phase % 2 == 0) std::ranges::shuffle(live, random);
      while (live.size() > wanted) {
        pool.deallocate(live.back(), size);
        live.pop_back();
      }
      const buffers::pool_stats stats = pool.stats();
      BOOST_REQUIRE(stats.live == live.size());
      BOOST_REQUIRE(stats.live + stats.free == stats.misses);
      BOOST_REQUIRE(stats.free_bytes == stats.free * pool_block(size));
    }
  }
}

BOOST_AUTO_TEST_SUITE_END()
