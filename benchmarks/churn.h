// Blocks of random sizes that come and go at random.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <random>
#include <utility>

#include "driver.h"

namespace bench {

/// Sizes whose logarithm is distributed evenly.
class log_uniform {
 public:
  log_uniform(double least, double most) : logarithm_(std::log(least), std::log(most)) {}
  std::uint32_t operator()(std::mt19937_64& random) { return static_cast<std::uint32_t>(std::exp(logarithm_(random))); }

 private:
  std::uniform_real_distribution<double> logarithm_;
};

/// Writes to a block's first word.
inline void touch(void* block) { *static_cast<volatile std::uint64_t*>(block) = 1; }

/// The block in `slot` goes, another comes.
struct replacement {
  std::uint32_t slot, old_bytes, bytes;
};

/// A number of live blocks, of which random ones are replaced. All is decided before, so that the loop costs little.
class churn {
 public:
  churn(unsigned seed, std::size_t live, std::size_t events, log_uniform sizes) : first_(live), events_(events) {
    std::mt19937_64 random{seed};
    for (std::uint32_t& bytes : first_) bytes = sizes(random);
    for (replacement& e : events_) e = {static_cast<std::uint32_t>(random() % live), 0, sizes(random)};
    // The first events find what the last ones leave, so that all of them can be repeated.
    for (const replacement& e : events_) first_[e.slot] = e.bytes;
    pages<std::uint32_t> now(live);
    std::ranges::copy(first_, now.begin());
    for (replacement& e : events_) e.old_bytes = std::exchange(now[e.slot], e.bytes);
  }

  std::size_t live() const { return first_.size(); }

  void fill(std::pmr::memory_resource* memory, const pages<void*>& slots) const {
    for (std::size_t i = 0; i < live(); ++i) touch(slots[i] = memory->allocate(first_[i]));
  }
  void pass(std::pmr::memory_resource* memory, const pages<void*>& slots) const {
    for (const replacement e : events_) {
      memory->deallocate(slots[e.slot], e.old_bytes);
      void* const block = memory->allocate(e.bytes);
      touch(block);
      slots[e.slot] = block;
    }
  }
  void empty(std::pmr::memory_resource* memory, const pages<void*>& slots) const {
    for (std::size_t i = 0; i < live(); ++i) memory->deallocate(slots[i], first_[i]);
  }
  /// A pass without any allocator: what the loop and the touching cost.
  void pass_alone(const pages<void*>& slots) const {
    for (const replacement e : events_) {
      void* const block = slots[e.slot];
      use(e.old_bytes);
      use(e.bytes);
      touch(block);
      slots[e.slot] = block;
    }
  }

 private:
  pages<std::uint32_t> first_;
  pages<replacement> events_;
};

}  // namespace bench
