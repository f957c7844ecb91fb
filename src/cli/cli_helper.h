/* mount.storagefs: what mount(8) runs for type storagefs. */
#pragma once

/* mount.storagefs CONFIGURATION MNT [-sfnv] [-o OPTIONS]. Returns mount(8)'s exit status. */
int cli_helper_run(int argc, char **argv);
