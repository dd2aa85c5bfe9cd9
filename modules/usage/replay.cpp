module;
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <bit>
#include <cerrno>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <deque>
#include <exception>
#include <format>
#include <functional>
#include <iterator>
#include <latch>
#include <map>
#include <memory_resource>
#include <mutex>
#include <new>
#include <numeric>
#include <optional>
#include <ostream>
#include <queue>
#include <span>
#include <string>
#include <system_error>
#include <thread>
#include <unordered_map>
#include <utility>
#include <vector>

#include "live_blocks.h"
module buffers.usage;

namespace buffers {

namespace {

// But for its threads, nothing here takes memory from the global heap that is there while a resource runs: what a
// resource makes resident is not to be mixed up with it, and the heap may be what runs.

/// An array in pages that grow. Those that are given back are not resident any more.
template <class T>
class page_vector {
 public:
  explicit page_vector(std::size_t size = 0) { resize(size); }
  page_vector(const page_vector&) = delete;
  page_vector& operator=(const page_vector&) = delete;
  ~page_vector() { release(); }

  void push_back(const T& value) {
    if (size_ == room_) grow(std::max<std::size_t>(2 * room_, (std::size_t{1} << 16) / sizeof(T)));
    first_[size_++] = value;
  }
  /// Zeros where it becomes longer; all of it resident.
  void resize(std::size_t size) {
    if (size > room_) grow(size);
    if (size > size_) std::memset(static_cast<void*>(first_ + size_), 0, (size - size_) * sizeof(T));
    size_ = size;
  }
  T pop_back() { return first_[--size_]; }
  T* begin() const { return first_; }
  T* end() const { return first_ + size_; }
  T& operator[](std::size_t i) const { return first_[i]; }
  std::size_t size() const { return size_; }

 private:
  void grow(std::size_t room) {
    const std::size_t bytes = detail::multiply(room, sizeof(T));
    void* const pages = first_ == nullptr
                            ? mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0)
                            : mremap(static_cast<void*>(first_), room_ * sizeof(T), bytes, MREMAP_MAYMOVE);
    if (pages == MAP_FAILED) throw std::bad_alloc();
    first_ = static_cast<T*>(pages);
    room_ = room;
  }
  void release() {
    if (first_ != nullptr) munmap(static_cast<void*>(first_), room_ * sizeof(T));
  }

  T* first_ = nullptr;
  std::size_t size_ = 0, room_ = 0;
};

/// A block comes, or goes.
struct step {
  static constexpr std::uint64_t most_bytes = detail::largest_block_followed;
  std::uint64_t bytes : 42, log_alignment : 5, goes : 1, lane : 16;
  std::uint32_t slot;
  std::uint32_t event;  // its number, of which the upper half is cut off
  std::size_t size() const { return bytes; }
  std::size_t alignment() const { return std::size_t{1} << log_alignment; }
};
static_assert(sizeof(step) == 16);

/// The most that a block takes of a bump_resource or slab_resource, wherever it comes to lie.
std::size_t bytes_in_buffer(std::size_t bytes, std::size_t alignment) {
  const std::size_t padding = alignment > detail::granule ? alignment - detail::granule : 0;
  return detail::round_up(bytes, detail::granule) + padding;
}

/// Bytes of this process that are resident and no file's.
std::size_t resident() {
  char text[128] = {};
  const int file = open("/proc/self/statm", O_RDONLY | O_CLOEXEC);
  if (file < 0) return 0;
  const ssize_t got = read(file, text, sizeof text - 1);
  close(file);
  if (got <= 0) return 0;
  char* at = text;
  static_cast<void>(std::strtoul(at, &at, 10));  // its addresses
  const std::size_t all = std::strtoul(at, &at, 10), of_files = std::strtoul(at, &at, 10);
  return (all - std::min(all, of_files)) * static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
}

double seconds_now() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// --- what is checked -------------------------------------------------------------------------------------------------

[[noreturn]] void complain(const std::string& trace, const step& s, const void* block, const char* why) {
  char text[128];
  std::snprintf(text, sizeof text, ": event %u: the block of %zu bytes at %p ", s.event, s.size(), block);
  throw replay_error("buffers: " + trace + text + why);
}

/// The places of the blocks that are live.
class places {
 public:
  explicit places(const std::string& trace) : trace_(trace) {}
  void add(const step& s, void* block) {
    const auto first = reinterpret_cast<std::uintptr_t>(block);
    if (first % s.alignment() != 0) complain(trace_, s, block, "is not aligned as was asked for");
    const std::lock_guard guard(mutex_);
    const auto after = live_.lower_bound(first);
    const auto before = after == live_.begin() ? live_.end() : std::prev(after);
    for (const auto other : {before, after})
      if (other != live_.end() && first < other->first + other->second && other->first < first + s.size()) {
        char text[96];
        std::snprintf(text, sizeof text, "overlaps the %zu bytes at %p", other->second,
                      reinterpret_cast<void*>(other->first));
        complain(trace_, s, block, text);
      }
    live_.emplace_hint(after, first, s.size());
  }
  void remove(void* block) {
    const std::lock_guard guard(mutex_);
    live_.erase(reinterpret_cast<std::uintptr_t>(block));
  }

 private:
  const std::string& trace_;
  std::mutex mutex_;
  page_resource pages_;
  pool_resource pool_{{}, &pages_};
  std::pmr::map<std::uintptr_t, std::size_t> live_{&pool_};
};

/// What a block is filled with: words that differ from place to place and from block to block.
class pattern {
 public:
  explicit pattern(const step& s) : word_((s.event + 1) * 0x9e3779b97f4a7c15u) {}
  void fill(void* block, std::size_t bytes) {
    for_each_word(bytes, [&](std::size_t at, std::size_t length, std::uint64_t word) {
      std::memcpy(static_cast<std::byte*>(block) + at, &word, length);
      return true;
    });
  }
  bool is_in(const void* block, std::size_t bytes) {
    return for_each_word(bytes, [&](std::size_t at, std::size_t length, std::uint64_t word) {
      return std::memcmp(static_cast<const std::byte*>(block) + at, &word, length) == 0;
    });
  }

 private:
  template <class F>
  bool for_each_word(std::size_t bytes, F f) {
    std::size_t at = 0;
    for (; bytes - at >= sizeof word_; at += sizeof word_)
      if (!f(at, sizeof word_, word_ += 0xbf58476d1ce4e5b9u)) return false;
    return f(at, bytes - at, word_ + 1);
  }

  std::uint64_t word_;
};

/// Does steps, and checks what is asked for.
class performer {
 public:
  performer(const std::string& trace, std::pmr::memory_resource& resource, const replay_options& options)
      : trace_(trace), resource_(resource), options_(options) {
    if (options.check_overlap) places_.emplace(trace);
  }

  /// The block of a step that makes it come. The step that makes it go is the same but for that.
  void* come(const step& s) {
    void* const block = resource_.allocate(s.size(), s.alignment());
    try {
      if (places_) places_->add(s, block);
    } catch (...) {
      resource_.deallocate(block, s.size(), s.alignment());
      throw;
    }
    if (options_.contents == replay_contents::touched)
      for (std::size_t i = 0; i < s.size(); i += 64) static_cast<volatile char*>(block)[i] = 1;
    else if (options_.contents == replay_contents::verified)
      pattern(s).fill(block, s.size());
    return block;
  }
  /// Checks a block that came with the step `came` before it goes.
  void check(const step& came, void* block) {
    if (options_.contents == replay_contents::verified && !pattern(came).is_in(block, came.size()))
      complain(trace_, came, block, "does not hold what was written to it");
  }
  void go(const step& came, void* block) noexcept {
    if (places_) places_->remove(block);
    resource_.deallocate(block, came.size(), came.alignment());
  }

 private:
  const std::string& trace_;
  std::pmr::memory_resource& resource_;
  const replay_options& options_;
  std::optional<places> places_;
};

}  // namespace

// --- reading ---------------------------------------------------------------------------------------------------------

namespace {

/// Follows the events of a trace, and makes steps of them.
class follower {
 public:
  follower(page_vector<step>& steps, replay_summary& known) : steps_(steps), known_(known) {}

  void follow(const trace_event& e) {
    ++known_.events;
    known_.failed += e.operation == trace_operation::failed ? 1 : 0;
    const std::uint32_t thread = index_of(e.thread);
    const bool fits = live_.follow(
        e, [&](const trace_event& came) { return come(thread, came); }, [&](const step& came) { go(thread, came); });
    if (!fits) ++known_.unknown;
    if (live_bytes_ > known_.peak_bytes) {
      known_.peak_bytes = live_bytes_;
      known_.peak_blocks = live_blocks_;
      peak_step = steps_.size() - 1;
    }
  }

  /// The steps that give back what is left.
  void add_left() {
    known_.threads = static_cast<std::uint32_t>(threads_.size());
    known_.left_bytes = live_bytes_;
    known_.left_blocks = live_blocks_;
    const auto leave = [&](step s) {
      s.goes = 1;
      steps_.push_back(s);
    };
    live_.for_each([&](std::uintptr_t, const step& came) { leave(came); });
  }

  /// Gives each thread a lane, and each step its thread's; threads that follow one another share one. Returns how many.
  std::uint32_t use_lanes(const std::string& trace) {
    std::pmr::vector<thread*> by_begin{&pool_};
    for (thread& of : threads_)
      if (of.first <= of.last) by_begin.push_back(&of);
    std::ranges::sort(by_begin, {}, &thread::first);
    using lane_end = std::pair<std::size_t, std::uint32_t>;
    std::priority_queue ends{std::greater<lane_end>(), std::pmr::vector<lane_end>{&pool_}};
    std::uint32_t lanes = 0;
    for (thread* const of : by_begin) {
      if (!ends.empty() && ends.top().first < of->first) {
        of->lane = ends.top().second;
        ends.pop();
      } else {
        of->lane = lanes++;
      }
      ends.emplace(of->last, of->lane);
    }
    if (lanes > UINT16_MAX)
      throw std::system_error(EAGAIN, std::generic_category(),
                              "buffers: " + trace + ": there were too many threads at the same time");
    for (std::size_t i = 0; i < thread_of_step_.size(); ++i)
      steps_[i].lane = static_cast<std::uint16_t>(threads_[thread_of_step_[i]].lane);
    return lanes;
  }

  std::size_t peak_step = 0, total = 0;
  std::uint32_t slots = 0;

 private:
  struct thread {
    std::size_t first = SIZE_MAX, last = 0;  // steps
    std::uint32_t lane = 0;
  };

  std::uint32_t index_of(std::uint32_t number) {
    const auto [known, is_new] = index_.try_emplace(number, static_cast<std::uint32_t>(threads_.size()));
    if (is_new) threads_.emplace_back();
    return known->second;
  }
  void add(std::uint32_t thread, step s) {
    threads_[thread].first = std::min(threads_[thread].first, steps_.size());
    threads_[thread].last = steps_.size();
    thread_of_step_.push_back(thread);
    steps_.push_back(s);
  }
  step come(std::uint32_t thread, const trace_event& e) {
    ++known_.allocations;
    const std::uint64_t bytes = std::clamp<std::uint64_t>(e.bytes, 1, step::most_bytes);
    std::uint32_t slot = slots;
    if (unused_.size() != 0)
      slot = unused_.pop_back();
    else if (slots++ == UINT32_MAX)
      throw std::bad_alloc();
    step s{.goes = 0, .lane = 0, .slot = slot, .event = static_cast<std::uint32_t>(e.number)};
    s.bytes = bytes & step::most_bytes;
    s.log_alignment = static_cast<unsigned>(std::countr_zero(e.alignment)) & 31;
    total = std::min(total, detail::largest_request) + bytes_in_buffer(bytes, e.alignment);
    live_bytes_ += bytes;
    ++live_blocks_;
    add(thread, s);
    return s;
  }
  void go(std::uint32_t thread, step s) {
    ++known_.deallocations;
    s.goes = 1;
    add(thread, s);
    unused_.push_back(s.slot);
    live_bytes_ -= s.bytes;
    --live_blocks_;
  }

  page_vector<step>& steps_;
  replay_summary& known_;
  page_vector<std::uint32_t> unused_, thread_of_step_;
  page_resource pages_;
  pool_resource pool_{{}, &pages_};
  detail::live_blocks<step> live_{&pool_};
  std::pmr::unordered_map<std::uint32_t, std::uint32_t> index_{&pool_};
  std::pmr::deque<thread> threads_{&pool_};
  std::size_t live_bytes_ = 0, live_blocks_ = 0;
};

/// Measures what is held from time to time.
class sampler {
 public:
  sampler(std::size_t (*held)(const void* of), const void* of) : held_(held), of_(of) {}
  void begin() { before_ = held_ != nullptr ? 0 : resident(); }
  void sample() {
    const double begin = seconds_now();
    const std::size_t now = held_ != nullptr ? held_(of_) : resident();
    most_ = std::max(most_, now - std::min(now, before_));
    seconds_ += seconds_now() - begin;
  }
  std::size_t most() const { return most_; }
  double seconds() const { return seconds_; }  // that it took itself

 private:
  std::size_t (*held_)(const void* of);
  const void* of_;
  std::size_t before_ = 0, most_ = 0;
  double seconds_ = 0;
};

void tell(std::atomic<std::uint64_t>* progress, std::uint64_t events) {
  if (progress != nullptr) progress->fetch_add(events, std::memory_order_relaxed);
}

}  // namespace

struct replayer::state {
  explicit state(file_path path);

  double run_in_order(performer& does, const replay_options& options, sampler& samples) const;
  double run_freely(performer& does, const replay_options& options, sampler& samples) const;
  std::span<const step> by_program() const { return {steps.begin(), steps_of_program}; }
  std::span<const step> left() const { return {steps.begin() + steps_of_program, steps.end()}; }

  std::string trace;  // its path
  page_vector<step> steps;
  std::size_t steps_of_program = 0;  // and after them, those that give back what is left
  std::size_t peak_step = 0;
  std::size_t total = 0;
  std::uint32_t slots = 0;
  std::uint32_t lanes = 0;
  replay_summary known;
  mutable page_vector<void*> blocks_of_slots;  // for one run in order at a time
  mutable std::atomic<bool> is_running = false;
};

replayer::state::state(file_path path) : trace(path.c_str()) {
  follower of(steps, known);
  trace_reader reader(path);
  try {
    for (trace_event e; reader.next(e);) of.follow(e);
  } catch (const trace_error& damage) {
    known.damage = damage;
  }
  lanes = of.use_lanes(trace);
  steps_of_program = steps.size();
  of.add_left();
  peak_step = of.peak_step;
  total = of.total;
  slots = of.slots;
  blocks_of_slots.resize(slots);
}

// --- running ---------------------------------------------------------------------------------------------------------

double replayer::state::run_in_order(performer& does, const replay_options& options, sampler& samples) const {
  // Memory that is resident already is not measured as the resource's, nor is the time that it takes.
  const bool is_first = !is_running.exchange(true);
  page_vector<void*> own(is_first ? 0 : slots);
  const page_vector<void*>& at = is_first ? blocks_of_slots : own;
  struct end_of_run {
    ~end_of_run() {
      if (is_first) state.is_running.store(false);
    }
    const replayer::state& state;
    bool is_first;
  } const ends{*this, is_first};
  const std::span<const step> steps_to_do = by_program();
  const std::size_t part = std::max<std::size_t>(steps_to_do.size() / 64, 1024);
  samples.begin();
  const double begin = seconds_now();
  double seconds = 0;
  std::size_t done = 0;
  try {
    for (std::size_t told = 0; done != steps_to_do.size();) {
      // Up to the next look at the memory, which is never in the middle of the fast path.
      const std::size_t stop = done <= peak_step && peak_step < done + part ? peak_step + 1 : done + part;
      for (const std::size_t end = std::min(stop, steps_to_do.size()); done != end; ++done) {
        const step& s = steps_to_do[done];
        void*& block = at[s.slot];
        if (s.goes == 0) {
          block = does.come(s);
        } else {
          does.check(s, block);
          does.go(s, std::exchange(block, nullptr));
        }
      }
      samples.sample();
      tell(options.progress, done - told);
      told = done;
    }
    seconds = seconds_now() - begin - samples.seconds();
    for (const step& s : left()) does.check(s, at[s.slot]);
  } catch (...) {
    // What is live now came with the last step of its slot.
    for (std::size_t i = done; i-- != 0;)
      if (steps_to_do[i].goes == 0 && at[steps_to_do[i].slot] != nullptr)
        does.go(steps_to_do[i], std::exchange(at[steps_to_do[i].slot], nullptr));
    throw;
  }
  for (const step& s : left()) does.go(s, std::exchange(at[s.slot], nullptr));
  return seconds;
}

double replayer::state::run_freely(performer& does, const replay_options& options, sampler& samples) const {
  // Each block has a place of its own, which its thread fills and the one that frees it waits for.
  page_vector<std::uint32_t> place_of_step(steps.size());
  std::uint32_t places = 0;
  {
    page_vector<std::uint32_t> in_slot(slots);
    for (std::size_t i = 0; i < steps.size(); ++i) {
      if (steps[i].goes == 0) in_slot[steps[i].slot] = places++;
      place_of_step[i] = in_slot[steps[i].slot];
    }
  }
  page_vector<void*> blocks(places);
  const auto place = [&](std::size_t i) { return std::atomic_ref<void*>(blocks[place_of_step[i]]); };
  page_vector<std::uint32_t> lane_begins(lanes + 1uz), in_lanes(steps_of_program);  // the steps of each lane
  for (const step& s : by_program()) ++lane_begins[s.lane + 1uz];
  for (std::size_t lane = 0; lane < lanes; ++lane) lane_begins[lane + 1] += lane_begins[lane];
  {
    page_vector<std::uint32_t> next(lanes);
    for (std::size_t i = 0; i < steps_of_program; ++i) {
      const std::size_t lane = steps[i].lane;
      in_lanes[lane_begins[lane] + next[lane]++] = static_cast<std::uint32_t>(i);
    }
  }

  page_vector<double> ends(lanes);
  std::atomic<bool> stop{false};
  std::atomic<std::uint32_t> running{0};
  std::mutex mutex;
  std::exception_ptr error;
  const auto fail = [&] {
    const std::lock_guard guard(mutex);
    if (error == nullptr) error = std::current_exception();
    stop.store(true);
  };
  std::latch start(1);
  const auto run_lane = [&](std::size_t lane) {
    start.wait();
    try {
      std::uint64_t untold = 0;
      for (std::size_t at = lane_begins[lane]; at != lane_begins[lane + 1] && !stop.load(std::memory_order_relaxed);
           ++at) {
        const std::size_t i = in_lanes[at];
        const step& s = steps[i];
        if (s.goes == 0) {
          place(i).store(does.come(s), std::memory_order_release);
        } else {
          void* block = place(i).load(std::memory_order_acquire);
          for (int looks = 0; block == nullptr && !stop.load(std::memory_order_relaxed); ++looks) {
            if (looks > 1000)
              std::this_thread::sleep_for(std::chrono::microseconds(50));
            else if (looks > 100)
              std::this_thread::yield();
            block = place(i).load(std::memory_order_acquire);
          }
          if (block == nullptr) break;
          does.check(s, block);
          place(i).store(nullptr, std::memory_order_relaxed);
          does.go(s, block);
        }
        if (++untold == 1024) tell(options.progress, std::exchange(untold, 0));
      }
      tell(options.progress, untold);
    } catch (...) {
      fail();
    }
    ends[lane] = seconds_now();
    running.fetch_sub(1, std::memory_order_release);
  };

  std::vector<std::thread> threads;
  threads.reserve(lanes);
  try {
    for (std::size_t lane = 0; lane < lanes; ++lane) {
      running.fetch_add(1);
      threads.emplace_back(run_lane, lane);
    }
  } catch (...) {
    running.fetch_sub(1);
    fail();
  }
  samples.begin();
  const double begin = seconds_now();
  start.count_down();
  while (running.load(std::memory_order_acquire) != 0) {
    samples.sample();
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
  for (std::thread& t : threads) t.join();
  const double seconds =
      std::accumulate(ends.begin(), ends.end(), begin, [](double a, double b) { return std::max(a, b); }) - begin;
  samples.sample();
  if (error == nullptr) {
    try {
      for (std::size_t i = steps_of_program; i < steps.size(); ++i) does.check(steps[i], place(i).load());
    } catch (...) {
      fail();
    }
  }
  for (std::size_t i = 0; i < steps_of_program; ++i)
    if (steps[i].goes == 0)
      if (void* const block = place(i).load()) does.go(steps[i], block);
  if (error != nullptr) std::rethrow_exception(error);
  return seconds;
}

replay_summary replayer::run_on(std::pmr::memory_resource& resource, probe held, const void* of,
                                const replay_options& options) const {
  performer does(state_->trace, resource, options);
  sampler samples(held, of);
  replay_summary summary = state_->known;
  // One thread alone needs no freedom, nor a resource that bears to be looked at meanwhile.
  summary.seconds = options.free_running && state_->lanes > 1 ? state_->run_freely(does, options, samples)
                                                              : state_->run_in_order(does, options, samples);
  summary.peak_held = samples.most();
  return summary;
}

replayer::replayer(file_path path) : state_(new state(path)) {}
replayer::~replayer() { delete state_; }
const replay_summary& replayer::summary() const noexcept { return state_->known; }
std::size_t replayer::total_bytes() const noexcept { return state_->total; }
std::uint32_t replayer::concurrent_threads() const noexcept { return state_->lanes; }

std::ostream& operator<<(std::ostream& os, const replay_summary& s) {
  os << std::format(
      "events        {:12}, of which {} allocations, {} deallocations, {} failed, {} unknown\n"
      "threads       {:12}\n"
      "time          {:12.3f} ms\n"
      "live at most  {:12} bytes in {} blocks\n"
      "left          {:12} bytes in {} blocks\n"
      "held at most  {:12} bytes, {:.2f} for each that was live\n",
      s.events, s.allocations, s.deallocations, s.failed, s.unknown, s.threads, 1e3 * s.seconds, s.peak_bytes,
      s.peak_blocks, s.left_bytes, s.left_blocks, s.peak_held, s.fragmentation());
  if (s.damage) os << "damaged       " << s.damage->what() << '\n';
  return os;
}

}  // namespace buffers
