// thread_resource gives each thread a buffer of its own: allocating on a thread touches no other.
//
//     thread 1 ──▶ buffer    ┐
//     thread 2 ──▶ buffer    ├ size() of them, at most max_buffers
//     free         buffer    ┘ given back, or of a thread that ended: for the next thread that asks
//
//   operation              cost        what it does
//   local                  two loads   this thread's buffer; the first call takes a free one, makes one, or waits
//   allocate               as there    ... of this thread's buffer; so do alloc, drop, reshape_buffer and scope
//   deallocate             as there    on any thread; one that the block is not from leaves it as it is until a reset
//   lease, with_buffer     a scope     the buffer for a task: a scope in it, and then it is given back
//   release, reset         a lock      give this thread's buffer back
//   repair                 O(size)     takes back what tasks failed to give back
//   used, peak, capacity,  O(size)     of all buffers
//   reset_peak
//
// Threads: any, at the same time; the last two rows only while no other thread uses a buffer of this. A buffer itself
// is for the thread that it belongs to.
//
//     buffers::thread_resource<> scratch;
//     tbb::parallel_for(0, 100, [&](int tile) {
//       auto buffer = scratch.lease();
//       auto a = buffers::alloc<double>(*buffer, 64, 64);
//       a[0, 0] = tile;
//     });
module;
#include <bit>
#include <concepts>
#include <cstddef>
#include <type_traits>
#include <utility>
export module buffers.threads:thread_resource;
import buffers.resources;
import buffers.std;
import :per_thread;

namespace buffers::detail {

struct shared_buffer;
struct shared_buffers;
struct destroy_shared_buffers {
  void operator()(shared_buffers* shared) const noexcept;
};
[[noreturn]] void throw_foreign_checkpoint();
[[nodiscard]] bool are_empty(std::span<const std::span<std::byte>> blocks) noexcept;

/// What a thread has of a thread_resource.
struct thread_slot {
  std::atomic<void*> buffer = nullptr;  // null: none
  shared_buffer* entry = nullptr;
  std::atomic<unsigned> holds = 0;  // leases and scopes
  bool is_leased = false;           // the end of the last hold gives the buffer back
};

/// What thread_resource knows of its kind of buffer.
struct buffer_functions {
  void* (*make)(const void* factory);
  void (*destroy)(void* buffer) noexcept;
  void (*reset)(void* buffer);
  bool (*is_empty)(const void* buffer);
};

/// thread_resource without the type of its buffers.
class thread_buffers {
 public:
  thread_buffers(const thread_buffers&) = delete;
  thread_buffers& operator=(const thread_buffers&) = delete;

 protected:
  thread_buffers(const buffer_functions& functions, const void* factory, std::size_t max_buffers, long long wait_ms);
  ~thread_buffers() = default;

  /// This thread's buffer, for a request of that many bytes.
  [[nodiscard]] inline void* mine(std::size_t bytes) {
    thread_slot& slot = slots_.local();
    if (void* const buffer = slot.buffer.load(std::memory_order_relaxed)) [[likely]]
      return buffer;
    return bind(slot, bytes);
  }
  /// The same when it is at hand, without a call; else null.
  [[nodiscard]] inline void* mine_at_hand() const noexcept {
    const thread_slot* const slot = slots_.at_hand();
    return slot != nullptr ? slot->buffer.load(std::memory_order_relaxed) : nullptr;
  }
  /// This thread's buffer; null when it has none.
  [[nodiscard]] inline void* mine_or_null() const noexcept {
    const thread_slot* const slot = slots_.find();
    return slot != nullptr ? slot->buffer.load(std::memory_order_relaxed) : nullptr;
  }
  /// The same, but a slot is made: for what is called often by threads that have no buffer.
  [[nodiscard]] inline void* mine_to_free() noexcept {
    const thread_slot* slot = nullptr;
    try {
      slot = &slots_.local();
    } catch (...) {
      return nullptr;
    }
    return slot->buffer.load(std::memory_order_relaxed);
  }

  /// Keeps this thread's buffer with it until end_hold. A lease's is given back then, where others may wait for it.
  [[nodiscard]] inline thread_slot& begin_hold(bool is_lease) {
    thread_slot& slot = slots_.local();
    if (slot.buffer.load(std::memory_order_relaxed) == nullptr) [[unlikely]] {
      static_cast<void>(bind(slot, 0));
      slot.is_leased = is_lease && is_limited_;
    }
    slot.holds.store(slot.holds.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
    return slot;
  }
  inline void end_hold(thread_slot& slot) noexcept {
    if constexpr (hardened) require_own(slot);
    const unsigned left = slot.holds.load(std::memory_order_relaxed) - 1;
    slot.holds.store(left, std::memory_order_relaxed);
    if (left == 0 && slot.is_leased) [[unlikely]]
      end_lease(slot);
  }

  void give_back(bool must_be_empty);
  void repair();
  [[nodiscard]] std::size_t size() const noexcept;
  [[nodiscard]] std::size_t sum(std::size_t (*of)(const void* buffer)) const;
  void for_each(void (*call)(void* buffer));

 private:
  [[nodiscard, gnu::cold]] void* bind(thread_slot& slot, std::size_t bytes);
  [[nodiscard]] bool is_reset(shared_buffer& left);
  [[gnu::cold]] void end_lease(thread_slot& slot) noexcept;
  void unbind(thread_slot& slot, bool was_left) noexcept;
  void require_own(const thread_slot& slot) const noexcept;

  std::unique_ptr<shared_buffers, destroy_shared_buffers> shared_;
  bool is_limited_;
  per_thread<thread_slot> slots_;  // destroyed first: threads that are ending use the others
};

// std::function, without the large header that it is in.
template <class R>
class factory {
  struct callable {
    virtual ~callable() = default;
    virtual std::unique_ptr<R> call() = 0;
  };
  template <class F>
  struct callable_of final : callable {
    explicit callable_of(F f) : f_(std::move(f)) {}
    std::unique_ptr<R> call() override { return f_(); }
    F f_;
  };
  std::shared_ptr<callable> callable_;

 public:
  factory() = default;
  template <class F>
    requires(!std::same_as<std::remove_cvref_t<F>, factory> && std::is_invocable_r_v<std::unique_ptr<R>, F&>)
  factory(F&& f) : callable_(std::make_shared<callable_of<std::decay_t<F>>>(std::forward<F>(f))) {}

  explicit operator bool() const noexcept { return static_cast<bool>(callable_); }
  std::unique_ptr<R> operator()() const { return callable_->call(); }
};

// A base class, so that what the function holds outlives the buffers.
template <class R>
struct buffers_made_by {
  factory<R> make;
};

// Any std::chrono::duration, without the large header that it is in. Rounded up, so that the shortest one is not none;
// a year stands for all that is longer.
class time_limit {
 public:
  static constexpr long long longest = 1000LL * 60 * 60 * 24 * 365;

  constexpr explicit time_limit(long long ms) noexcept : ms_(ms) {}
  template <class D>
    requires requires(const D& duration) { static_cast<double>(duration.count()) * D::period::num / D::period::den; }
  constexpr time_limit(const D& duration) noexcept
      : ms_(rounded_up(static_cast<double>(duration.count()) * 1000 * D::period::num / D::period::den)) {}
  [[nodiscard]] constexpr long long ms() const noexcept { return ms_; }

 private:
  static constexpr long long rounded_up(double ms) noexcept {
    if (!(ms >= 0)) return -1;
    if (ms >= longest) return longest;
    const auto whole = static_cast<long long>(ms);
    return static_cast<double>(whole) < ms ? whole + 1 : whole;
  }

  long long ms_;
};

}  // namespace buffers::detail

export namespace buffers {

/// A buffer that a thread can have: a resource that can go back to a checkpoint, forget all of its blocks, and say how
/// much is in use.
template <class R>
concept thread_buffer = checkpointable<R> && requires(R& buffer, const R& unchanged) {
  buffer.reset();
  { unchanged.used() } -> std::convertible_to<std::size_t>;
};

/// How a thread_resource makes its buffers, and how many.
template <class R>
struct thread_options {
  /// Makes a buffer: any function that returns a std::unique_ptr<R>. Called by one thread at a time, the one that the
  /// buffer is for. It must not ask the same thread_resource for a buffer (order_error), nor run a task that does: a
  /// oneTBB loop in it needs tbb::this_task_arena::isolate. Copies of the options share it: where several
  /// thread_resources have one, each calls it by itself.
  detail::factory<R> make = [] {
    if constexpr (std::default_initializable<R>)
      return [] { return std::make_unique<R>(); };
    else
      return detail::factory<R>();
  }();
  /// With so many buffers in use, a thread that needs one waits. 0: no maximum.
  std::size_t max_buffers = 0;
  /// For how long it waits before it throws `exhausted`: any std::chrono::duration. Ten seconds. Threads that wait get
  /// buffers in the order in which they came.
  detail::time_limit wait{10'000};
};

/// A buffer for each thread. What a thread has not given back when it ends stays as it is until the buffer is handed to
/// another thread, which resets it.
/// Of each buffer it keeps a record in memory of oneTBB's allocator, as of each thread (see per_thread), and the option
/// `make` lies on the heap, as in a std::function; all else is allocated by `make` and the buffers.
template <thread_buffer R = slab_resource>
class thread_resource final : public std::pmr::memory_resource,
                              private detail::buffers_made_by<R>,
                              private detail::thread_buffers {
 public:
  /// The kind of buffer that each thread has.
  using buffer_type = R;
  using sums_over_threads = void;  // so that a meter does not ask for used() with each request

  /// Throws invalid_argument for an option out of range, naming the field.
  explicit thread_resource(thread_options<R> options = {})
      : detail::buffers_made_by<R>{std::move(options.make)},
        thread_buffers(functions, static_cast<detail::buffers_made_by<R>*>(this), options.max_buffers,
                       options.wait.ms()) {
    if (!this->make)
      detail::throw_option("thread_options::make", "must be given: the buffer has no default constructor");
  }
  thread_resource(const thread_resource&) = delete;
  thread_resource& operator=(const thread_resource&) = delete;
  /// Destroys the buffers: no thread may use one any more.
  ~thread_resource() override = default;

  /// This thread's buffer, the same at each call until it is given back: by release(), reset(), the end of the lease
  /// that got it, repair(), or the end of the thread, after its thread_local variables.
  /// Throws: exhausted after waiting in vain for a free one; what `make` throws.
  inline R& local() { return *static_cast<R*>(mine(0)); }

  /// A block of this thread's buffer; for no bytes, none is needed. Throws what local() and the buffer throw.
  [[nodiscard]] inline void* allocate(std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) {
    if (void* const buffer = mine_at_hand()) [[likely]]
      return static_cast<R*>(buffer)->allocate(bytes, alignment);
    return allocate_slow(bytes, alignment);
  }
  /// Gives the block back to this thread's buffer, when it is from there; else it is there until its buffer is reset.
  inline void deallocate(void* block, std::size_t bytes, std::size_t alignment = alignof(std::max_align_t)) noexcept {
    if (void* const buffer = mine_at_hand()) [[likely]]
      return return_block(*static_cast<R*>(buffer), block, bytes, alignment);
    deallocate_slow(block, bytes, alignment);
  }

  /// A hold on this thread's buffer for the time of a task. At its end, what was allocated meanwhile is given back, and
  /// so is the buffer, where there is a maximum. When the thread has its buffer already, because a task runs inside of
  /// another one that waits for it, the lease is a scope in that buffer: it does not wait, and the other task's blocks
  /// stay. Ends on the thread that it began on, in the reverse order of beginning.
  class [[nodiscard]] lease_type {
   public:
    explicit lease_type(thread_resource& from) : hold_(from), scope_(hold_.buffer) {}
    lease_type(const lease_type&) = delete;
    lease_type& operator=(const lease_type&) = delete;

    /// The buffer.
    [[nodiscard]] inline R& operator*() const noexcept { return hold_.buffer; }
    [[nodiscard]] inline R* operator->() const noexcept { return &hold_.buffer; }
    [[nodiscard]] inline R& resource() const noexcept { return hold_.buffer; }

   private:
    struct hold {
      explicit hold(thread_resource& f)
          : from(f), slot(f.begin_hold(true)), buffer(*static_cast<R*>(slot.buffer.load(std::memory_order_relaxed))) {}
      hold(const hold&) = delete;
      hold& operator=(const hold&) = delete;
      ~hold() { from.end_hold(slot); }

      thread_resource& from;
      detail::thread_slot& slot;
      R& buffer;
    };
    hold hold_;
    scope<R> scope_;
  };
  /// `auto buffer = scratch.lease();`. Throws what local() throws.
  [[nodiscard]] lease_type lease() { return lease_type(*this); }

  /// Calls f(buffer), or f() where that is not possible, in a lease, and returns its value, which must not point into
  /// the buffer. The buffer is given back when f throws as well.
  template <class F>
    requires std::invocable<F, R&> || std::invocable<F>
  decltype(auto) with_buffer(F&& f) {
    const lease_type held(*this);
    if constexpr (std::invocable<F, R&>)
      return std::forward<F>(f)(*held);
    else
      return std::forward<F>(f)();
  }

  /// Gives this thread's buffer back, for another thread; nothing when it has none. Throws order_error while a lease or
  /// scope holds it, and when it is not empty.
  void release() { give_back(true); }
  /// Forgets all blocks of this thread's buffer, and gives it back; nothing when it has none. Throws order_error while
  /// a lease or scope holds it.
  void reset() { give_back(false); }
  /// Takes the buffers of all threads, and resets them: for when tasks have ended without giving theirs back. A thread
  /// whose buffer was taken gets another one at its next call, as if for the first time. No other thread may be using
  /// its buffer; those that wait for one may go on waiting. Throws order_error when a lease or scope holds a buffer:
  /// that one stays where it is, and the others have been taken all the same. A buffer whose thread ended inside a
  /// scope cannot be reset: it is destroyed, and made anew when it is needed (the hardened build ends the program over
  /// the scope).
  void repair() { thread_buffers::repair(); }

  /// The number of buffers that have been made, without those that repair() destroyed.
  [[nodiscard]] std::size_t size() const noexcept { return thread_buffers::size(); }
  /// The bytes in use of all buffers.
  [[nodiscard]] std::size_t used() const {
    return sum([](const void* buffer) -> std::size_t { return static_cast<const R*>(buffer)->used(); });
  }
  /// The sum of the buffers' peaks: they need not have been at the same time.
  [[nodiscard]] std::size_t peak() const
    requires requires(const R& buffer) { buffer.peak(); }
  {
    return sum([](const void* buffer) -> std::size_t { return static_cast<const R*>(buffer)->peak(); });
  }
  void reset_peak()
    requires requires(R& buffer) { buffer.reset_peak(); }
  {
    for_each([](void* buffer) { static_cast<R*>(buffer)->reset_peak(); });
  }
  /// The bytes that all buffers hold.
  [[nodiscard]] std::size_t capacity() const
    requires requires(const R& buffer) { buffer.capacity(); }
  {
    return sum([](const void* buffer) -> std::size_t { return static_cast<const R*>(buffer)->capacity(); });
  }
  /// Of this thread's buffer: see there. A checkpoint is for the thread that took it.
  [[nodiscard]] auto checkpoint() { return local().checkpoint(); }
  void restore(const decltype(std::declval<R&>().checkpoint())& cp) {
    R* const buffer = static_cast<R*>(mine_or_null());
    if (buffer == nullptr) detail::throw_foreign_checkpoint();
    buffer->restore(cp);
  }
  /// See buffers::drop. The views are from this thread's buffer.
  void drop(std::span<const std::span<std::byte>> blocks)
    requires requires(R& buffer) { buffer.drop(blocks); }
  {
    if (!detail::are_empty(blocks)) local().drop(blocks);  // no elements need no buffer
  }
  /// See buffers::reshape_buffer.
  [[nodiscard]] std::byte* reshape(std::size_t bytes, std::size_t alignment = 1)
    requires requires(R& buffer) { buffer.reshape(bytes, alignment); }
  {
    return local().reshape(bytes, alignment);
  }

  /// What `scope` is made of: use that instead.
  class scope_mark {
    friend thread_resource;
    detail::thread_slot* slot;
    std::optional<scope<R>> inner;
  };
  inline void open_scope(scope_mark& opened) {
    opened.slot = &begin_hold(false);
    try {
      opened.inner.emplace(*static_cast<R*>(opened.slot->buffer.load(std::memory_order_relaxed)));
    } catch (...) {
      end_hold(*opened.slot);
      throw;
    }
  }
  inline void close_scope(scope_mark& opened) noexcept {
    opened.inner.reset();
    end_hold(*opened.slot);
  }

 private:
  static constexpr detail::buffer_functions functions = {
      [](const void* factory) -> void* {
        return static_cast<const detail::buffers_made_by<R>*>(factory)->make().release();
      },
      [](void* buffer) noexcept { delete static_cast<R*>(buffer); },
      [](void* buffer) { static_cast<R*>(buffer)->reset(); },
      [](const void* its) -> bool {
        const R& buffer = *static_cast<const R*>(its);
        if constexpr (requires { buffer.is_reshaped(); })
          if (buffer.is_reshaped()) return false;
        return buffer.used() == 0;
      },
  };

  [[gnu::cold]] void* allocate_slow(std::size_t bytes, std::size_t alignment) {
    if (bytes == 0 || !std::has_single_bit(alignment)) [[unlikely]]
      if (mine_to_free() == nullptr) {  // needs no buffer, nor to wait for one
        detail::require_alignment(alignment);
        return detail::no_bytes(alignment);
      }
    return static_cast<R*>(mine(bytes))->allocate(bytes, alignment);
  }
  [[gnu::cold]] void deallocate_slow(void* block, std::size_t bytes, std::size_t alignment) noexcept {
    if (void* const buffer = mine_to_free()) return_block(*static_cast<R*>(buffer), block, bytes, alignment);
  }
  static inline void return_block(R& buffer, void* block, std::size_t bytes, std::size_t alignment) noexcept {
    if constexpr (requires { buffer.deallocate_if_own(block, bytes, alignment); }) {
      buffer.deallocate_if_own(block, bytes, alignment);
    } else if constexpr (requires {
                           { buffer.owns(block) } -> std::convertible_to<bool>;
                         }) {
      if (buffer.owns(block)) buffer.deallocate(block, bytes, alignment);
    }
  }

  void* do_allocate(std::size_t bytes, std::size_t alignment) override { return allocate(bytes, alignment); }
  void do_deallocate(void* block, std::size_t bytes, std::size_t alignment) override {
    deallocate(block, bytes, alignment);
  }
  bool do_is_equal(const std::pmr::memory_resource& other) const noexcept override { return this == &other; }
};

static_assert(checkpointable<thread_resource<>>);

}  // namespace buffers
