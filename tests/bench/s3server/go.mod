module storagefs/bench/s3server

go 1.19
