// Repeats on a memory resource what a program has allocated.
#pragma once
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <memory_resource>
#include <string>
#include <unordered_map>
#include <utility>

#include "driver.h"
#include "traces/trace.h"

namespace trace {

/// A trace in the form in which it is repeated: blocks are numbered, and numbers are taken again. It uses no heap.
class replay {
 public:
  /// Reads a trace; blocks that the program leaves are freed at the end.
  explicit replay(const std::string& path) : replay(read(path)) {}

  std::size_t events() const { return count_; }
  double live_peak() const { return static_cast<double>(live_peak_); }
  std::size_t blocks() const { return slots_; }

  /// Allocates and frees as the program did, and writes to each line of each block; `blocks` is as long as `blocks()`.
  void through(std::pmr::memory_resource* memory, bench::pages<void*>& blocks) const {
    for (const event *e = events_.begin(), *end = e + count_; e != end; ++e) {
      if (e->frees) {
        memory->deallocate(blocks[e->slot], e->bytes, std::size_t{1} << e->log_alignment);
      } else {
        void* const block = memory->allocate(e->bytes, std::size_t{1} << e->log_alignment);
        for (std::size_t i = 0; i < e->bytes; i += 64) static_cast<volatile char*>(block)[i] = 1;
        blocks[e->slot] = block;
      }
    }
  }

 private:
  struct event {
    std::uint32_t slot : 26, log_alignment : 5, frees : 1;
    std::uint32_t bytes;
  };

  explicit replay(const bench::pages<record>& recorded) : events_(2 * recorded.size()) {
    // All that comes and goes here is in pages of its own: what is measured later must not find a used heap.
    bench::pages<std::byte> memory(64 * recorded.size() + (1 << 20));
    std::pmr::monotonic_buffer_resource monotonic{memory.begin(), memory.size(), std::pmr::null_memory_resource()};
    std::pmr::unordered_map<std::uint64_t, event> live{&monotonic};
    live.reserve(recorded.size() / 2);
    bench::pages<std::uint32_t> unused(recorded.size());
    std::size_t unused_count = 0, live_bytes = 0;
    const auto free_event = [&](event e) {
      e.frees = 1;
      events_[count_++] = e;
      unused[unused_count++] = e.slot;
      live_bytes -= e.bytes;
    };
    const auto forget = [&](std::uint64_t block) {
      event known{};
      if (const auto found = live.find(block); found != live.end()) {
        known = found->second;
        live.erase(found);
      }
      return known;
    };
    event moved{};  // is freed after the next block has come
    for (const record& r : recorded) {
      if (r.bytes == freed || r.bytes == trace::moved) {
        const event known = forget(r.block);
        if (known.bytes == 0) continue;  // older than the recorder
        if (r.bytes == freed)
          free_event(known);
        else
          moved = known;
        continue;
      }
      const std::uint32_t slot = unused_count > 0 ? unused[--unused_count] : slots_++;
      const event made{slot, static_cast<std::uint32_t>(std::countr_zero(r.alignment)), 0,
                       static_cast<std::uint32_t>(std::max<std::uint64_t>(r.bytes, 1))};
      if (r.bytes > UINT32_MAX || slots_ >= 1 << 26) std::abort();
      events_[count_++] = made;
      live[r.block] = made;
      live_bytes += made.bytes;
      live_peak_ = std::max(live_peak_, live_bytes);
      if (moved.bytes != 0) free_event(std::exchange(moved, {}));
    }
    for (const auto& [block, known] : live) free_event(known);
  }

  static bench::pages<record> read(const std::string& path) {
    const int file = open(path.c_str(), O_RDONLY);
    struct stat about;
    if (file < 0 || fstat(file, &about) != 0) {
      std::fprintf(stderr, "there is no trace %s: benchmarks/traces/record.sh records it\n", path.c_str());
      std::exit(1);
    }
    bench::pages<record> records(static_cast<std::size_t>(about.st_size) / sizeof(record));
    char* to = reinterpret_cast<char*>(records.begin());
    char* const end = reinterpret_cast<char*>(records.end());
    for (ssize_t got = 1; to != end && got > 0; to += got) got = std::max<ssize_t>(::read(file, to, end - to), 0);
    close(file);
    if (to != end) std::abort();
    return records;
  }

  bench::pages<event> events_;
  std::size_t count_ = 0, live_peak_ = 0;
  std::uint32_t slots_ = 0;
};

}  // namespace trace
