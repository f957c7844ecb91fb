# Compiler and linker flags of everything that is built here, on the interface target storagefs_flags.

if(NOT CMAKE_BUILD_TYPE)
    set(CMAKE_BUILD_TYPE RelWithDebInfo CACHE STRING "Debug, Release, RelWithDebInfo" FORCE)
endif()
set(CMAKE_C_STANDARD 11)
set(CMAKE_C_STANDARD_REQUIRED ON)
set(CMAKE_C_EXTENSIONS ON)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
# Assertions stay in every build: they mark programming errors, and cost nothing where they stand.
set(CMAKE_C_FLAGS_RELWITHDEBINFO "-O2 -g")
set(CMAKE_C_FLAGS_RELEASE "-O2")

include(CheckPIESupported)
check_pie_supported(LANGUAGES C)

find_package(PkgConfig REQUIRED)
pkg_check_modules(GLIB REQUIRED IMPORTED_TARGET glib-2.0>=2.74 gio-2.0 gio-unix-2.0)
pkg_check_modules(FUSE REQUIRED IMPORTED_TARGET fuse3>=3.14)
pkg_check_modules(CURL REQUIRED IMPORTED_TARGET libcurl>=7.88)
pkg_check_modules(OPENSSL REQUIRED IMPORTED_TARGET libcrypto>=3.0)
pkg_check_modules(JSON REQUIRED IMPORTED_TARGET json-glib-1.0)
find_package(Threads REQUIRED)

add_library(storagefs_flags INTERFACE)
target_include_directories(storagefs_flags INTERFACE "${PROJECT_SOURCE_DIR}")
target_link_libraries(storagefs_flags INTERFACE PkgConfig::GLIB Threads::Threads)
target_compile_definitions(storagefs_flags INTERFACE
    _GNU_SOURCE _FILE_OFFSET_BITS=64
    GLIB_VERSION_MIN_REQUIRED=GLIB_VERSION_2_74 GLIB_VERSION_MAX_ALLOWED=GLIB_VERSION_2_74
    G_LOG_DOMAIN="storagefs" STORAGEFS_VERSION="${PROJECT_VERSION}")

# Callbacks and driver tables have fixed signatures, so unused parameters are no finding; option and
# configuration tables end in a zero entry, so absent fields are none either. clang takes a g_autofree variable that is
# only kept to be freed for unused; gcc knows better.
target_compile_options(storagefs_flags INTERFACE
    -Wall -Wextra -Werror -Wno-unused-parameter -Wno-missing-field-initializers
    -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wmissing-declarations -Wold-style-definition
    -Wformat=2 -Wundef -Wpointer-arith -Wwrite-strings -Wvla -Wredundant-decls
    -Wnested-externs -Winit-self -Wimplicit-fallthrough -Wunused-result -Wdate-time
    -fno-strict-aliasing -fno-common -fstack-protector-strong
    $<$<C_COMPILER_ID:GNU>:-Wlogical-op$<SEMICOLON>-Wcast-align$<SEMICOLON>-Wduplicated-cond$<SEMICOLON>-Wjump-misses-init$<SEMICOLON>-fstack-clash-protection>
    $<$<C_COMPILER_ID:Clang>:-Wthread-safety$<SEMICOLON>-Wno-unused-variable>)
target_link_options(storagefs_flags INTERFACE -Wl,-z,relro,-z,now -Wl,--as-needed)

if(STORAGEFS_FUZZ)
    if(NOT CMAKE_C_COMPILER_ID STREQUAL "Clang" OR NOT STORAGEFS_SANITIZE STREQUAL "address")
        message(FATAL_ERROR "STORAGEFS_FUZZ: give -DCMAKE_C_COMPILER=clang -DSTORAGEFS_SANITIZE=address with it")
    endif()
    target_compile_options(storagefs_flags INTERFACE -fsanitize=fuzzer-no-link)
endif()
if(STORAGEFS_SANITIZE STREQUAL "address")
    set(sanitizers -fsanitize=address,undefined -fno-sanitize-recover=undefined -fno-omit-frame-pointer)
elseif(STORAGEFS_SANITIZE STREQUAL "thread")
    set(sanitizers -fsanitize=thread -fno-omit-frame-pointer)
elseif(NOT STORAGEFS_SANITIZE STREQUAL "")
    message(FATAL_ERROR "STORAGEFS_SANITIZE=${STORAGEFS_SANITIZE}: give address, thread, or nothing")
endif()
if(sanitizers)
    target_compile_options(storagefs_flags INTERFACE ${sanitizers} -U_FORTIFY_SOURCE)
    target_link_options(storagefs_flags INTERFACE ${sanitizers})
elseif(NOT CMAKE_BUILD_TYPE STREQUAL "Debug")
    target_compile_options(storagefs_flags INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()

if(STORAGEFS_COVERAGE)
    target_compile_options(storagefs_flags INTERFACE --coverage -fprofile-update=atomic)
    target_link_options(storagefs_flags INTERFACE --coverage)
endif()
