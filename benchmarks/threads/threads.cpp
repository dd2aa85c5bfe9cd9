// How fast is the concurrent pool when two threads use it, each for itself or handing blocks from one to the other? All
// through memory_resource*. Every run is a process of its own, which has one allocator only; the time is what both
// threads together spend on their processors.
//
//     benchmarks/run threads [churn] [exchange]
#include <time.h>

#include <array>
#include <atomic>
#include <barrier>
#include <cstddef>
#include <cstdint>
#include <memory_resource>
#include <random>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "churn.h"
#include "driver.h"
#include "peers.h"
import buffers;

namespace {

// Who takes part.
const std::vector<bench::contender> everybody{
    {"concurrent_pool_resource", bench::made<buffers::concurrent_pool_resource>, false},
    {"std synchronized_pool_resource", bench::made<std::pmr::synchronized_pool_resource>},
    {"Boost synchronized_pool_resource", bench::boost_synchronized},
    {"new/delete (glibc)", std::pmr::new_delete_resource},
    {"mimalloc", bench::mimalloc::make},
    {"jemalloc", bench::jemalloc::make},
    {"tbbmalloc", bench::tbbmalloc::make},
};

using making = std::pmr::memory_resource* (*)();

/// Runs both at once, each in a thread on a processor of its own, and adds up the seconds that they return.
template <class First, class Second>
double together(First first, Second second) {
  const std::vector<unsigned> processors = bench::processors();
  std::array<double, 2> seconds{};
  std::thread other([&] {
    bench::pin_to_processor(processors.back());
    seconds[1] = second();
  });
  std::thread one([&] {
    bench::pin_to_processor(processors.front());
    seconds[0] = first();
  });
  one.join();
  other.join();
  return seconds[0] + seconds[1];
}

double thread_seconds() { return bench::processor_seconds(CLOCK_THREAD_CPUTIME_ID); }

// --- Churn: two threads, each with blocks of its own
// ------------------------------------------------------------------

void churning(const std::string& sizes, std::uint32_t most, double at_most) {
  constexpr std::size_t live = 1'000, events = 1 << 16, passes = 8;
  const bench::log_uniform distribution(16, static_cast<double>(most) + 1);
  const std::array<bench::churn, 2> work{bench::churn(1, live, events, distribution),
                                         bench::churn(2, live, events, distribution)};
  bench::comparison contest("W4: two threads, " + sizes + ", 1000 live each; free a random one, allocate, touch",
                            2 * events, 11);
  bench::enter(contest, everybody, [&](making make) -> bench::outcome {
    const std::array<bench::pages<void*>, 2> slots{bench::pages<void*>(live), bench::pages<void*>(live)};
    const bench::residence resident;
    std::pmr::memory_resource* const memory = make();
    if (!memory) return bench::absent;
    std::barrier both_ready(2), both_done(2);
    double peak = 0;
    const auto thread = [&](int i) {
      return [&, i] {
        work[i].fill(memory, slots[i]);
        work[i].pass(memory, slots[i]);
        both_ready.arrive_and_wait();
        const double begin = thread_seconds();
        for (std::size_t pass = 0; pass < passes; ++pass) work[i].pass(memory, slots[i]);
        const double seconds = thread_seconds() - begin;
        both_done.arrive_and_wait();
        if (i == 0) peak = resident.peak();
        work[i].empty(memory, slots[i]);
        return seconds / passes;
      };
    };
    const double seconds = together(thread(0), thread(1));
    return {seconds, peak, resident.now()};
  });
  contest.measure();
  contest.target("concurrent_pool_resource / best peer", contest.of("concurrent_pool_resource") / contest.best_peer(),
                 at_most);
}

// --- Exchange: one thread allocates, the other frees -----------------------------------------------------------------

constexpr std::size_t blocks_per_batch = 128;

/// Batches of blocks on their way from one thread to the other, no more than fit, and four fifths of that at least: or
/// else a slow allocator had fewer blocks on the way, and a small memory. Who has to wait sleeps: that the other is
/// slower should not count.
// NOLINTNEXTLINE(clang-analyzer-optin.performance.Padding): what the two threads write lies apart
class ring {
 public:
  using batch = std::array<void*, blocks_per_batch>;

  /// The batch to write to next, and that it has been written.
  batch& vacant() {
    const std::size_t mine = written_.load(std::memory_order_relaxed);
    while (mine - read_.load(std::memory_order_acquire) == batches_.size()) nap();
    return batches_[mine % batches_.size()];
  }
  void written() { written_.store(written_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

  /// The batch to read next, and that it has been read.
  const batch& next() {
    const std::size_t mine = read_.load(std::memory_order_relaxed);
    while (written_.load(std::memory_order_acquire) - mine < (is_last_.load(std::memory_order_acquire) ? 1 : least_))
      nap();
    return batches_[mine % batches_.size()];
  }
  /// That no more will be written.
  void is_last() { is_last_.store(true, std::memory_order_release); }
  void read() { read_.store(read_.load(std::memory_order_relaxed) + 1, std::memory_order_release); }

 private:
  static void nap() {
    const timespec time{0, 20'000};
    nanosleep(&time, nullptr);
  }

  static constexpr std::size_t least_ = 64;
  std::array<batch, least_ + least_ / 4> batches_{};
  std::atomic<bool> is_last_{false};
  alignas(64) std::atomic<std::size_t> written_{0};
  alignas(64) std::atomic<std::size_t> read_{0};
};

void exchanging() {
  constexpr std::size_t blocks = 1 << 22, quarter = blocks / 4;
  bench::pages<std::uint32_t> sizes(1 << 16);
  std::mt19937_64 random{3};
  bench::log_uniform distribution(16, 1025);
  for (std::uint32_t& bytes : sizes) bytes = distribution(random);

  const auto exchange = [&](auto allocate, auto deallocate, const bench::residence* resident) {
    const bench::pages<ring> between(1);
    bench::outcome result;
    const auto producer = [&] {
      const double begin = thread_seconds();
      for (std::size_t i = 0; i < blocks;) {
        ring::batch& batch = between[0].vacant();
        for (void*& block : batch) {
          block = allocate(sizes[i++ % sizes.size()]);
          bench::touch(block);
        }
        between[0].written();
        if (resident && i % quarter == 0) result.quarters[i / quarter - 1] = resident->now();
      }
      between[0].is_last();
      return thread_seconds() - begin;
    };
    const auto consumer = [&] {
      const double begin = thread_seconds();
      for (std::size_t i = 0; i < blocks;) {
        for (void* const block : between[0].next()) deallocate(block, sizes[i++ % sizes.size()]);
        between[0].read();
      }
      return thread_seconds() - begin;
    };
    result.seconds = together(producer, consumer);
    if (resident) {
      result.peak = resident->peak();
      result.kept = resident->now();
    }
    return result;
  };

  bench::comparison contest("W4: one thread allocates blocks of 16 B to 1 KiB, the other frees them; per block", blocks,
                            7);
  contest.ours_alone("(the exchange alone)", [&] {
    const bench::pages<char[64]> few(1 << 13);
    std::size_t next = 0;
    return exchange([&](std::size_t) -> void* { return few[next++ % few.size()]; },
                    [](void* block, std::size_t) { bench::touch(block); }, nullptr);
  });
  bench::enter(contest, everybody, [&](making make) -> bench::outcome {
    const bench::residence resident;
    std::pmr::memory_resource* const memory = make();
    if (!memory) return bench::absent;
    return exchange([&](std::size_t bytes) { return memory->allocate(bytes); },
                    [&](void* block, std::size_t bytes) { memory->deallocate(block, bytes); }, &resident);
  });
  contest.measure();
  contest.target("concurrent_pool_resource / best peer", contest.of("concurrent_pool_resource") / contest.best_peer(),
                 0.65);
  contest.target("concurrent_pool_resource's resident memory / the leanest peer's",
                 contest.peak_of("concurrent_pool_resource") / contest.leanest_peer(), 1.3);
  if (const bench::contestant* const ours = contest.find("concurrent_pool_resource"))
    contest.target("concurrent_pool_resource's resident memory after all / after a quarter",
                   ours->quarters[3] / ours->quarters[0], 1.1);
}

}  // namespace

int main(int argc, char** argv) {
  bench::make_room_for_libraries(argv);
  const bench::arguments arguments{argc, argv};
  if (bench::processors().size() < 2) std::printf("only one processor: both threads share it\n");
  arguments.ask("churn", [] {
    churning("16 B to 1 KiB", 1 << 10, 0.95);
    churning("16 B to 64 KiB", 64 << 10, 0.60);
  });
  arguments.ask("exchange", exchanging);
}
